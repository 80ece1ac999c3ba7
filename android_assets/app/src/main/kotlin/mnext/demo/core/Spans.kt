package mnext.demo.core

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max

/** How tf.image.resize(..., antialias=True) weighs input pixels; [radius] in pixels at scale 1. */
enum class Interpolation(internal val radius: Float) {
    NEAREST(0f), // not a filter: one pixel is taken
    BILINEAR(1f),
    BICUBIC(2f); // Keys' cubic with a = -1/2

    internal fun weight(distance: Float): Float {
        val x = abs(distance)
        return when {
            x >= radius -> 0f
            this == BILINEAR -> 1f - x
            x >= 1f -> ((-0.5f * x + 2.5f) * x - 4f) * x + 2f
            else -> (1.5f * x - 2.5f) * x * x + 1f
        }
    }
}

/**
 * Along one side: output pixel i is the sum of weights[i] times the input pixels from starts[i] on.
 *
 * Of an input of [inputSize] resized to [outputSize], only [count] output pixels from [first] on. Float arithmetic
 * in TensorFlow's order, so that the weights are TensorFlow's.
 */
internal class Spans(interpolation: Interpolation, inputSize: Int, outputSize: Int, first: Int, count: Int) {
    val starts = IntArray(count)
    val weights: Array<FloatArray>

    init {
        val nearest = interpolation == Interpolation.NEAREST
        weights = Array(count) { i ->
            if (nearest) one(i, first + i, inputSize, outputSize)
            else filtered(i, first + i, inputSize, outputSize, interpolation)
        }
    }

    /** The input pixels that are used at all. */
    val begin = starts.minOrNull() ?: 0
    val end = starts.indices.maxOfOrNull { starts[it] + weights[it].size } ?: 0

    private fun one(i: Int, position: Int, inputSize: Int, outputSize: Int): FloatArray {
        val scale = inputSize / outputSize.toFloat()
        starts[i] = floor((position + 0.5f) * scale).toInt().coerceAtMost(inputSize - 1)
        return floatArrayOf(1f)
    }

    private fun filtered(i: Int, position: Int, inputSize: Int, outputSize: Int, filter: Interpolation): FloatArray {
        val scale = outputSize.toFloat() / inputSize.toFloat()
        val inverse = (1.0 / scale).toFloat()
        val stretch = max(inverse, 1f) // antialias: wider when shrinking
        val centre = (position + 0.5f) * inverse
        val reach = filter.radius * stretch
        val begin = ceil(centre - reach - 0.5f).toInt().coerceIn(0, inputSize - 1)
        val end = floor(centre + reach - 0.5f).toInt().coerceIn(0, inputSize - 1) + 1
        val found = FloatArray(end - begin) { filter.weight((begin + it + 0.5f - centre) * (1f / stretch)) }
        var sum = 0f
        for (weight in found) sum += weight
        val normal = 1f / sum
        for (k in found.indices) found[k] *= normal
        starts[i] = begin
        return found
    }
}
