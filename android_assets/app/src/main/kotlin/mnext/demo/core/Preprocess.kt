package mnext.demo.core

import kotlin.math.max
import kotlin.math.min

/**
 * From a picture to what a network takes, exactly as mnext_tf/data/preprocess.py has it for evaluation: the short
 * side is resized to [resizeSize], then the centre crop of [inputSize] is taken.
 */
data class Preprocess(val inputSize: Int, val cropFraction: Double, val interpolation: Interpolation) {

    /** The short side in pixels before the crop; a half is rounded to the even number, as Python rounds. */
    val resizeSize = Math.rint(inputSize / cropFraction).toInt()

    /**
     * RGB in [0, 255], row by row, inputSize * inputSize * 3 values.
     *
     * Only the part of the picture that the crop shows is read, a few rows at a time. Beside the result this takes
     * inputSize rows as wide as that part: 7 MB for 12 megapixels at 224, and 2 MB for the rows being read.
     */
    fun apply(picture: Pixels): FloatArray {
        // of a strip only the middle is resized, LONGEST times as long as it is wide
        val most = LONGEST * min(picture.width, picture.height).toLong()
        val width = min(picture.width.toLong(), most).toInt()
        val height = min(picture.height.toLong(), most).toInt()
        val x = max(0, picture.width - width) / 2
        val y = max(0, picture.height - height) / 2

        val columns = spans(width, min(width, height))
        val rows = spans(height, min(width, height))
        val middle = resizeRows(picture, x + columns.begin, columns.end - columns.begin, y, rows)
        return resizeColumns(middle, columns)
    }

    private fun spans(side: Int, short: Int): Spans {
        val resized = (resizeSize.toLong() * side / short).toInt()
        val offset = Math.rint((resized - inputSize) / 2.0).toInt()
        return Spans(interpolation, side, resized, offset, inputSize)
    }

    /** inputSize rows of [width] pixels; TensorFlow goes this way first, too. */
    private fun resizeRows(picture: Pixels, x: Int, width: Int, y: Int, rows: Spans): FloatArray {
        val length = width * 3
        val result = FloatArray(inputSize * length)
        val block = IntArray(ROWS * width)
        val line = FloatArray(length)
        var oldest = 0 // the first output row that is not finished
        for (top in rows.begin until rows.end step ROWS) {
            val count = min(ROWS, rows.end - top)
            picture.block(x, y + top, width, count, block)
            for (k in 0 until count) {
                unpack(block, k * width, line)
                while (oldest < inputSize && rows.starts[oldest] + rows.weights[oldest].size <= top + k) oldest++
                var row = oldest
                while (row < inputSize && rows.starts[row] <= top + k) {
                    val weights = rows.weights[row]
                    val place = top + k - rows.starts[row]
                    if (place < weights.size) addScaled(result, row * length, line, weights[place])
                    row++
                }
            }
        }
        return result
    }

    private fun resizeColumns(middle: FloatArray, columns: Spans): FloatArray {
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
        private const val LONGEST = 8
        private const val ROWS = 64 // read at once; turned pictures are read by columns, which few at a time is slow

        /** The record `preprocess.json` of a model. Throws [BadFile] where it is not one. */
        fun parse(text: String): Preprocess {
            val record = Json.parse(text).asObject("preprocess.json")
            val size = record.number("input_size")
            val fraction = record.number("crop_fraction")
            val name = record.string("interpolation")
            val interpolation = Interpolation.entries.find { it.name.equals(name, ignoreCase = true) }
                ?: throw BadFile("preprocess.json: interpolation is $name; known are bicubic, bilinear and nearest")
            if (size != Math.rint(size) || size < 1 || size > 4096)
                throw BadFile("preprocess.json: input_size is $size; it must be a whole number from 1 to 4096")
            if (!(fraction > 0 && fraction <= 1))
                throw BadFile("preprocess.json: crop_fraction is $fraction; it must be above 0 and at most 1")
            return Preprocess(size.toInt(), fraction, interpolation)
        }
    }
}
