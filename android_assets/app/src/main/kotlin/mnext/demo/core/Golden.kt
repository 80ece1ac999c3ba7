package mnext.demo.core

import kotlin.math.abs

/** What a model must give for [input], a file of 8-bit RGB pixels at the network's input size. */
sealed class Golden(val input: String) {

    /** [output]: Python's probabilities, and how far each may be from them. */
    class Probabilities(input: String, val output: FloatArray, val tolerance: Float, val gpuTolerance: Float) :
        Golden(input) {

        fun compare(given: FloatArray, gpu: Boolean): Comparison.Probabilities {
            val allowed = if (gpu) gpuTolerance else tolerance
            val difference = maxAbsDifference(given, output)
            return Comparison.Probabilities(difference <= allowed, difference, allowed) // false for NaN
        }
    }

    /**
     * [detections]: Python's, best first. Each must be found again: with the same class, an IoU of at least [minIou],
     * and a score that differs by at most [tolerance]. Of the others, none may score more than [above] + [tolerance].
     */
    class Detections(
        input: String,
        val detections: List<Detection>,
        val above: Float,
        val minIou: Float,
        val tolerance: Float,
    ) : Golden(input) {

        fun compare(given: List<Detection>): Comparison.Boxes {
            val others = given.toMutableList()
            val ious = ArrayList<Float>()
            var largest = 0f
            for (wanted in detections) {
                val found = others
                    .filter { it.label == wanted.label && abs(it.score - wanted.score) <= tolerance }
                    .filter { it.box.iou(wanted.box) >= minIou } // false for NaN
                    .maxByOrNull { it.box.iou(wanted.box) } ?: continue
                others -= found
                ious += found.box.iou(wanted.box)
                largest = maxOf(largest, abs(found.score - wanted.score))
            }
            val unexpected = others.count { !(it.score <= above + tolerance) } // true for NaN
            return Comparison.Boxes(
                ious.size == detections.size && unexpected == 0,
                detections.size, ious.size, unexpected, ious.minOrNull(), largest, this,
            )
        }
    }
}

/** How a model's outputs compare with its golden ones. */
sealed class Comparison(val passed: Boolean) {
    class Probabilities(passed: Boolean, val difference: Float, val tolerance: Float) : Comparison(passed)

    /** [found] of [expected] boxes were found again, with [leastIou] (null for none) and a [difference] of scores. */
    class Boxes(
        passed: Boolean,
        val expected: Int,
        val found: Int,
        val unexpected: Int,
        val leastIou: Float?,
        val difference: Float,
        val golden: Golden.Detections,
    ) : Comparison(passed)
}
