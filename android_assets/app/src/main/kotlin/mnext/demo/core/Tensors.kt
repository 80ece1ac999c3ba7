package mnext.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/** The type of a tensor's numbers: real = (stored - [zeroPoint]) * [scale]; of [FLOAT32] stored is real. */
class NumberType(val kind: Kind, val scale: Float, val zeroPoint: Int) {
    enum class Kind(val bytes: Int, internal val lowest: Int, internal val highest: Int) {
        FLOAT32(4, 0, 0), UINT8(1, 0, 255), INT8(1, -128, 127)
    }
}

/** Real values as the bytes of a tensor, rounded as NumPy rounds: a half to the even number. */
fun pack(values: FloatArray, type: NumberType, out: ByteBuffer) {
    out.toBegin()
    out.order(ByteOrder.nativeOrder())
    if (type.kind == NumberType.Kind.FLOAT32) {
        for (value in values) out.putFloat(value)
    } else {
        for (value in values) {
            val stored = Math.rint((value / type.scale).toDouble()).toInt() + type.zeroPoint
            out.put(stored.coerceIn(type.kind.lowest, type.kind.highest).toByte())
        }
    }
    out.toBegin()
}

/** [pack] undone. */
fun unpack(bytes: ByteBuffer, type: NumberType, count: Int): FloatArray {
    bytes.toBegin()
    bytes.order(ByteOrder.nativeOrder())
    return FloatArray(count) {
        when (type.kind) {
            NumberType.Kind.FLOAT32 -> bytes.getFloat()
            NumberType.Kind.UINT8 -> ((bytes.get().toInt() and 0xFF) - type.zeroPoint) * type.scale
            NumberType.Kind.INT8 -> (bytes.get().toInt() - type.zeroPoint) * type.scale
        }
    }
}

/** Pixels of 8 bits as real values. */
fun pixelValues(pixels: ByteArray) = FloatArray(pixels.size) { (pixels[it].toInt() and 0xFF).toFloat() }

/** The places of the [count] largest values, largest first; of equal ones the first. */
fun largest(values: FloatArray, count: Int): List<Int> =
    values.indices.sortedByDescending { values[it] }.take(count)

/** The largest absolute difference; not a number where one of them is not, or the lengths differ. */
fun largestDifference(a: FloatArray, b: FloatArray): Float {
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
