package mnext.demo

import android.content.Context
import java.util.Locale

/** What runs, in words. */
fun Device.text(context: Context): String = when (kind) {
    Device.Kind.CPU -> context.resources.getQuantityString(R.plurals.ran_cpu, threads, threads)
    Device.Kind.GPU -> context.getString(R.string.ran_gpu)
    Device.Kind.GPU_IN_PART -> context.getString(R.string.ran_gpu_in_part, steps, allSteps)
    Device.Kind.GPU_UNTOLD -> context.getString(R.string.ran_gpu_untold)
}

/** Why the GPU was not used, in words. */
fun Refusal.text(context: Context): String = when (reason) {
    Refusal.Reason.NOT_SUPPORTED -> context.getString(R.string.gpu_not_supported)
    Refusal.Reason.TOOK_NOTHING -> context.getString(R.string.gpu_took_nothing)
    Refusal.Reason.FAILED -> context.getString(R.string.gpu_failed, text ?: context.getString(R.string.no_reason))
}

/** A failure, in words. */
fun Throwable.text(context: Context): String = when (this) {
    is OutOfMemoryError -> context.getString(R.string.out_of_memory)
    else -> message ?: toString()
}

/** Three digits that count: 0.912, 12.3, 145. */
fun Double.short(): String {
    val digits = if (this < 10) 2 else if (this < 100) 1 else 0
    return String.format(Locale.getDefault(), "%.${digits}f", this)
}
