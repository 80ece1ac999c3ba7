package mnext.demo

import android.content.Context

/** The user's choices, stored persistently. */
class Settings(context: Context) {
    private val stored = context.getSharedPreferences("settings", Context.MODE_PRIVATE)

    var model: String
        get() = stored.getString("model", "").orEmpty()
        set(value) = stored.edit().putString("model", value).apply()

    var gpu: Boolean
        get() = stored.getBoolean("gpu", false)
        set(value) = stored.edit().putBoolean("gpu", value).apply()

    var threads: Int
        get() = stored.getInt("threads", minOf(4, cores)).coerceIn(1, cores)
        set(value) = stored.edit().putInt("threads", value).apply()

    companion object {
        private val cores = Runtime.getRuntime().availableProcessors()

        /** Powers of two below the number of cores, and the number of cores. */
        val threadChoices: List<Int> = generateSequence(1) { it * 2 }.takeWhile { it < cores }.toList() + cores
    }
}
