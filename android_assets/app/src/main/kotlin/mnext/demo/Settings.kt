package mnext.demo

import android.content.Context

/** What was chosen last, kept when the app ends. */
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

        /** 1, 2, 4 and so on, as many as there are cores. */
        val threadChoices: List<Int> = generateSequence(1) { it * 2 }.takeWhile { it < cores }.toList() + cores
    }
}
