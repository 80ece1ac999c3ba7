package mnext.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/** A tensor's data type and quantization: real = (stored - [zeroPoint]) * [scale]; not applied to FLOAT32. */
class TensorType(val dtype: Dtype, val scale: Float, val zeroPoint: Int) {
    enum class Dtype(val bytes: Int, internal val lowest: Int, internal val highest: Int) {
        FLOAT32(4, 0, 0), UINT8(1, 0, 255), INT8(1, -128, 127)
    }
}

/** Writes real values to a tensor's buffer, quantized and rounded half to even like NumPy. */
fun writeTensor(values: FloatArray, type: TensorType, out: ByteBuffer) {
    out.rewindCompat()
    out.order(ByteOrder.nativeOrder())
    if (type.dtype == TensorType.Dtype.FLOAT32) {
        for (value in values) out.putFloat(value)
    } else {
        for (value in values) {
            val stored = Math.rint((value / type.scale).toDouble()).toInt() + type.zeroPoint
            out.put(stored.coerceIn(type.dtype.lowest, type.dtype.highest).toByte())
        }
    }
    out.rewindCompat()
}

/** The inverse of [writeTensor]: [count] real values. */
fun readTensor(bytes: ByteBuffer, type: TensorType, count: Int): FloatArray {
    bytes.rewindCompat()
    bytes.order(ByteOrder.nativeOrder())
    return FloatArray(count) {
        when (type.dtype) {
            TensorType.Dtype.FLOAT32 -> bytes.getFloat()
            TensorType.Dtype.UINT8 -> ((bytes.get().toInt() and 0xFF) - type.zeroPoint) * type.scale
            TensorType.Dtype.INT8 -> (bytes.get().toInt() - type.zeroPoint) * type.scale
        }
    }
}

/** 8-bit pixels as floats. */
fun pixelsToFloats(pixels: ByteArray) = FloatArray(pixels.size) { (pixels[it].toInt() and 0xFF).toFloat() }

/** The indices of the [count] largest values in descending order; ties in index order. */
fun topK(values: FloatArray, count: Int): List<Int> =
    values.indices.sortedByDescending { values[it] }.take(count)

/** The largest absolute difference; NaN if a value is NaN or the lengths differ. */
fun maxAbsDifference(a: FloatArray, b: FloatArray): Float {
    if (a.size != b.size) return Float.NaN
    var largest = 0f
    for (i in a.indices) {
        val difference = abs(a[i] - b[i])
        if (difference.isNaN()) return Float.NaN
        if (difference > largest) largest = difference
    }
    return largest
}

fun median(values: List<Double>): Double {
    val sorted = values.sorted()
    val half = sorted.size / 2
    return if (sorted.size % 2 == 1) sorted[half] else (sorted[half - 1] + sorted[half]) / 2
}
