package mnext.demo

import android.content.Context
import java.util.Locale
import mnext.demo.core.Comparison

fun Backend.text(context: Context): String = when (kind) {
    Backend.Kind.CPU -> context.resources.getQuantityString(R.plurals.ran_cpu, threads, threads)
    Backend.Kind.GPU -> context.getString(R.string.ran_gpu)
    Backend.Kind.GPU_PARTIAL -> context.getString(R.string.ran_gpu_partial, nodes, totalNodes)
    Backend.Kind.GPU_UNKNOWN -> context.getString(R.string.ran_gpu_unknown)
}

fun GpuFallback.text(context: Context): String = when (reason) {
    GpuFallback.Reason.NOT_SUPPORTED -> context.getString(R.string.gpu_not_supported)
    GpuFallback.Reason.NO_OPERATORS -> context.getString(R.string.gpu_no_operators)
    GpuFallback.Reason.DETECTOR -> context.getString(R.string.gpu_detector)
    GpuFallback.Reason.FAILED -> context.getString(R.string.gpu_failed, message ?: context.getString(R.string.no_reason))
}

/** Of the check of a model's outputs; [passed][Comparison.passed] is shown elsewhere. */
fun Comparison.text(context: Context): String = when (this) {
    is Comparison.Probabilities -> context.getString(R.string.check_difference, difference, tolerance)
    is Comparison.Boxes -> {
        val counts = context.getString(R.string.check_boxes, found, expected, unexpected)
        val least = leastIou ?: return counts
        counts + "\n" + context.getString(R.string.check_ious, least, golden.minIou, difference, golden.tolerance)
    }
}

fun Throwable.text(context: Context): String = when (this) {
    is OutOfMemoryError -> context.getString(R.string.out_of_memory)
    else -> message ?: toString()
}

/** Up to three significant digits: 0.91, 12.3, 145. */
fun Double.short(): String {
    val digits = if (this < 10) 2 else if (this < 100) 1 else 0
    return String.format(Locale.getDefault(), "%.${digits}f", this)
}
