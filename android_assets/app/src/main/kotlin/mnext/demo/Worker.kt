package mnext.demo

import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors

/** The one thread that reads pictures and runs networks. A network on the GPU belongs to the thread that opened it. */
object Worker {
    private val thread = Executors.newSingleThreadExecutor { Thread(it, "inference") }
    private val screen = Handler(Looper.getMainLooper())

    /** Does [work] after whatever was asked for before, then [done] on the UI thread, with its result or failure. */
    fun <T> run(work: () -> T, done: (Result<T>) -> Unit) {
        thread.execute {
            val result = runCatching(work) // also of an OutOfMemoryError: large pictures are what is read here
            screen.post { done(result) }
        }
    }

    /** Does [work] on the UI thread. */
    fun tell(work: () -> Unit) {
        screen.post(work)
    }
}
