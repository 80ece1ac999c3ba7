package mnext.demo.core

import kotlin.math.max
import kotlin.math.min

/** Take a center crop, as classifiers have it, or squash the whole image to the square, as detectors have it. */
enum class Fit { CROP, SQUASH }

/**
 * The evaluation preprocessing of mnext_tf/data/preprocess.py, with identical results: resizes the short side to
 * [resizeSize], then takes a center crop of [inputSize]; or resizes the image to a square of [inputSize].
 */
data class Preprocess(val inputSize: Int, val cropFraction: Double, val interpolation: Interpolation, val fit: Fit) {

    /** The short side in pixels before the crop, rounded half to even, like Python's round. */
    val resizeSize = Math.rint(inputSize / cropFraction).toInt()

    /**
     * RGB values in [0, 255], inputSize x inputSize x 3, in row-major order.
     *
     * Reads only the part of the image inside the crop, a few rows at a time. Besides the result, this takes inputSize
     * rows as wide as that part (7 MB for 12 megapixels at 224) and 2 MB for the rows being read.
     */
    fun apply(image: Pixels): FloatArray = if (fit == Fit.SQUASH) squash(image) else crop(image)

    private fun squash(image: Pixels): FloatArray {
        val limit = (if (interpolation == Interpolation.BICUBIC) 3L else 2L) * inputSize
        val antialias = max(image.width, image.height) > limit // below, every pixel counts without it
        val columns = ResizeWeights(interpolation, image.width, inputSize, 0, inputSize, antialias)
        val rows = ResizeWeights(interpolation, image.height, inputSize, 0, inputSize, antialias)
        return resizeColumns(resizeRows(image, columns.begin, columns.end - columns.begin, 0, rows), columns)
    }

    private fun crop(image: Pixels): FloatArray {
        // Of longer images, only the middle is resized.
        val most = MAX_ASPECT_RATIO * min(image.width, image.height).toLong()
        val width = min(image.width.toLong(), most).toInt()
        val height = min(image.height.toLong(), most).toInt()
        val x = max(0, image.width - width) / 2
        val y = max(0, image.height - height) / 2

        val columns = spans(width, min(width, height))
        val rows = spans(height, min(width, height))
        val middle = resizeRows(image, x + columns.begin, columns.end - columns.begin, y, rows)
        return resizeColumns(middle, columns)
    }

    private fun spans(side: Int, short: Int): ResizeWeights {
        val resized = (resizeSize.toLong() * side / short).toInt()
        val offset = Math.rint((resized - inputSize) / 2.0).toInt()
        return ResizeWeights(interpolation, side, resized, offset, inputSize)
    }

    /** Resizes vertically to inputSize rows of [width] pixels. TensorFlow also resizes in this order. */
    private fun resizeRows(image: Pixels, x: Int, width: Int, y: Int, rows: ResizeWeights): FloatArray {
        val length = width * 3
        val result = FloatArray(inputSize * length)
        val block = IntArray(ROWS * width)
        val line = FloatArray(length)
        var oldest = 0 // the first unfinished output row
        for (top in rows.begin until rows.end step ROWS) {
            val count = min(ROWS, rows.end - top)
            image.block(x, y + top, width, count, block)
            for (k in 0 until count) {
                unpack(block, k * width, line)
                while (oldest < inputSize && rows.starts[oldest] + rows.weights[oldest].size <= top + k) oldest++
                var row = oldest
                while (row < inputSize && rows.starts[row] <= top + k) {
                    val weights = rows.weights[row]
                    val tap = top + k - rows.starts[row]
                    if (tap < weights.size) addScaled(result, row * length, line, weights[tap])
                    row++
                }
            }
        }
        return result
    }

    private fun resizeColumns(middle: FloatArray, columns: ResizeWeights): FloatArray {
        val length = (columns.end - columns.begin) * 3
        val result = FloatArray(inputSize * inputSize * 3)
        var out = 0
        for (row in 0 until inputSize) {
            for (column in 0 until inputSize) {
                var at = row * length + (columns.starts[column] - columns.begin) * 3
                var red = 0f
                var green = 0f
                var blue = 0f
                for (weight in columns.weights[column]) {
                    red += middle[at++] * weight
                    green += middle[at++] * weight
                    blue += middle[at++] * weight
                }
                result[out++] = red.coerceIn(0f, 255f) // bicubic overshoots at edges
                result[out++] = green.coerceIn(0f, 255f)
                result[out++] = blue.coerceIn(0f, 255f)
            }
        }
        return result
    }

    private fun unpack(block: IntArray, from: Int, line: FloatArray) {
        var out = 0
        for (i in from until from + line.size / 3) {
            val pixel = block[i]
            line[out++] = (pixel shr 16 and 0xFF).toFloat()
            line[out++] = (pixel shr 8 and 0xFF).toFloat()
            line[out++] = (pixel and 0xFF).toFloat()
        }
    }

    private fun addScaled(sums: FloatArray, from: Int, line: FloatArray, weight: Float) {
        for (i in line.indices) sums[from + i] += line[i] * weight
    }

    companion object {
        private const val MAX_ASPECT_RATIO = 8
        private const val ROWS = 64 // per read; in rotated images these are columns, which are slow to read one by one

        /** Parses `preprocess.json`. Throws [InvalidFileException]. */
        fun parse(text: String): Preprocess {
            val record = Json.parse(text).asObject("preprocess.json")
            val size = record.number("input_size")
            val fraction = record.number("crop_fraction")
            val name = record.string("interpolation")
            val fitName = record.string("fit", "crop") // classifiers have none
            val interpolation = Interpolation.entries.find { it.name.equals(name, ignoreCase = true) }
                ?: throw InvalidFileException("preprocess.json: unknown interpolation $name (bicubic, bilinear, nearest)")
            val fit = Fit.entries.find { it.name.equals(fitName, ignoreCase = true) }
                ?: throw InvalidFileException("preprocess.json: unknown fit $fitName (crop, squash)")
            if (size != Math.rint(size) || size < 1 || size > 4096)
                throw InvalidFileException("preprocess.json: input_size is $size; it must be an integer from 1 to 4096")
            if (!(fraction > 0 && fraction <= 1))
                throw InvalidFileException("preprocess.json: crop_fraction is $fraction; it must be in (0, 1]")
            return Preprocess(size.toInt(), fraction, interpolation, fit)
        }
    }
}
