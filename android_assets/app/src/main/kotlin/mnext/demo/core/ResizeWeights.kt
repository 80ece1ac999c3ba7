package mnext.demo.core

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max

/** The kernels of tf.image.resize; [radius] in pixels at scale 1. */
enum class Interpolation(internal val radius: Float) {
    NEAREST(0f), // takes one pixel, without a kernel
    BILINEAR(1f),
    BICUBIC(2f); // Keys' cubic kernel with a = -1/2

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
 * Resampling weights along one axis: output pixel i is the dot product of weights[i] and the input from starts[i] on.
 *
 * Covers [count] output pixels, starting at [first], of an axis resized from [inputSize] to [outputSize]. The order of
 * operations is TensorFlow's, so the weights are identical. With [antialias], kernels are wider for downscaling.
 */
internal class ResizeWeights(
    interpolation: Interpolation,
    inputSize: Int,
    outputSize: Int,
    first: Int,
    count: Int,
    private val antialias: Boolean = true,
) {
    val starts = IntArray(count)
    val weights: Array<FloatArray>

    init {
        val isNearest = interpolation == Interpolation.NEAREST
        weights = Array(count) { i ->
            if (isNearest) nearest(i, first + i, inputSize, outputSize)
            else filtered(i, first + i, inputSize, outputSize, interpolation)
        }
    }

    /** The range of input pixels with a weight. */
    val begin = starts.minOrNull() ?: 0
    val end = starts.indices.maxOfOrNull { starts[it] + weights[it].size } ?: 0

    private fun nearest(i: Int, position: Int, inputSize: Int, outputSize: Int): FloatArray {
        val scale = inputSize / outputSize.toFloat()
        starts[i] = floor((position + 0.5f) * scale).toInt().coerceAtMost(inputSize - 1)
        return floatArrayOf(1f)
    }

    private fun filtered(i: Int, position: Int, inputSize: Int, outputSize: Int, filter: Interpolation): FloatArray {
        val scale = outputSize.toFloat() / inputSize.toFloat()
        val inverse = (1.0 / scale).toFloat()
        val stretch = if (antialias) max(inverse, 1f) else 1f
        val center = (position + 0.5f) * inverse
        val reach = filter.radius * stretch
        val begin = ceil(center - reach - 0.5f).toInt().coerceIn(0, inputSize - 1)
        val end = floor(center + reach - 0.5f).toInt().coerceIn(0, inputSize - 1) + 1
        val found = FloatArray(end - begin) { filter.weight((begin + it + 0.5f - center) * (1f / stretch)) }
        var sum = 0f
        for (weight in found) sum += weight
        val normal = 1f / sum
        for (k in found.indices) found[k] *= normal
        starts[i] = begin
        return found
    }
}
