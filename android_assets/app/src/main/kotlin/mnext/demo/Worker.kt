package mnext.demo

import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors

/** A single background thread for decoding and inference; a GPU delegate must be used on the thread that created it. */
object Worker {
    private val executor = Executors.newSingleThreadExecutor { Thread(it, "inference") }
    private val uiHandler = Handler(Looper.getMainLooper())

    /** Queues [work], then calls [done] on the UI thread with its result or exception. */
    fun <T> run(work: () -> T, done: (Result<T>) -> Unit) {
        executor.execute {
            val result = runCatching(work) // including OutOfMemoryError, which large photos can cause
            uiHandler.post { done(result) }
        }
    }

    /** Runs [work] on the UI thread. */
    fun post(work: () -> Unit) {
        uiHandler.post(work)
    }
}
