package mnext.demo.core

/** A box relative to its image: x from 0 (left edge) to 1 (right edge), y from 0 (top edge) to 1 (bottom edge). */
data class Box(val xMin: Float, val yMin: Float, val xMax: Float, val yMax: Float) {
    private val area get() = maxOf(xMax - xMin, 0f) * maxOf(yMax - yMin, 0f)

    /** Intersection over union; 0 if both are empty. */
    fun iou(other: Box): Float {
        val shared = Box(
            maxOf(xMin, other.xMin), maxOf(yMin, other.yMin), minOf(xMax, other.xMax), minOf(yMax, other.yMax)
        ).area
        val union = area + other.area - shared
        return if (union > 0f) shared / union else 0f
    }
}

/** A box, the index of its class in labels.txt, and its score from 0 to 1. */
data class Detection(val box: Box, val label: Int, val score: Float)

/** The outputs of a detector with boxes, as `mnext_tf/tflite/postprocess.py` names them; row i of three is one box. */
object DetectorOutputs {
    const val LOCATION = "location" // N rows: y_min, x_min, y_max, x_max
    const val CATEGORY = "category" // N
    const val SCORE = "score" // N, best first
    const val COUNT = "number of detections" // how many of the N rows are boxes

    /** Throws [InvalidFileException] for a count or a class that the model cannot have. */
    fun read(location: FloatArray, category: FloatArray, score: FloatArray, count: Float, classes: Int): List<Detection> {
        if (!(count >= 0 && count <= score.size))
            throw InvalidFileException("the model gives $count boxes; it has rows for ${score.size}")
        return List(count.toInt()) { i ->
            if (!(category[i] >= 0 && category[i] < classes))
                throw InvalidFileException("the model gives class ${category[i]}; its labels.txt has $classes")
            val at = 4 * i
            val box = Box(location[at + 1], location[at], location[at + 3], location[at + 2])
            Detection(box, category[i].toInt(), score[i])
        }
    }
}
