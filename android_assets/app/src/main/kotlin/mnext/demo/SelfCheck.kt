package mnext.demo

import android.content.Context
import mnext.demo.core.InvalidFileException
import mnext.demo.core.ModelInfo
import mnext.demo.core.maxAbsDifference
import mnext.demo.core.pixelsToFloats

/** Runs the golden test of every model. Continues, and keeps its results, when the screen rotates. */
object SelfCheck {
    enum class Verdict { PASS, FAIL, NOT_RUN }

    /** [difference] is null if nothing was compared; [error] is what went wrong. */
    class CheckResult(
        val title: String,
        val gpu: Boolean,
        val verdict: Verdict,
        val difference: Float?,
        val tolerance: Float,
        val backend: Backend?,
        val error: String?,
    )

    // Access these on the UI thread only.
    val results = ArrayList<CheckResult>()
    var running = false
        private set
    var listener: (() -> Unit)? = null

    fun start(context: Context, threads: Int) {
        if (running) return
        running = true
        results.clear()
        val assets = ModelAssets(context.applicationContext.assets)
        Worker.run({
            ModelCache.close()
            for (name in assets.names()) for (gpu in listOf(false, true)) {
                val result = check(assets, name, gpu, threads)
                Worker.post {
                    results += result
                    listener?.invoke()
                }
            }
        }) { done ->
            running = false
            done.exceptionOrNull()?.let { results += failed("", false, it) }
            listener?.invoke()
        }
    }

    private fun check(assets: ModelAssets, name: String, gpu: Boolean, threads: Int): CheckResult = try {
        val info = assets.info(name)
        checkFile(assets, info)
        val golden = info.golden
        val tolerance = if (gpu) golden.gpuTolerance else golden.tolerance
        openClassifier(assets, name, gpu, threads).use { classifier ->
            if (classifier.backend.fallback != null) {
                CheckResult(info.title, gpu, Verdict.NOT_RUN, null, tolerance, classifier.backend, null)
            } else {
                val output = classifier.classify(goldenInput(assets, info, classifier))
                val difference = maxAbsDifference(output, golden.output)
                val passed = difference <= tolerance // false for NaN
                val verdict = if (passed) Verdict.PASS else Verdict.FAIL
                CheckResult(info.title, gpu, verdict, difference, tolerance, classifier.backend, null)
            }
        }
    } catch (error: Exception) { // any exception, so that the other models are still checked
        failed(name, gpu, error)
    }

    private fun failed(title: String, gpu: Boolean, error: Throwable) =
        CheckResult(title, gpu, Verdict.FAIL, null, 0f, null, error.message ?: error.toString())

    private fun checkFile(assets: ModelAssets, info: ModelInfo) {
        val file = assets.map(info.file)
        if (file.limit().toLong() != info.bytes)
            throw InvalidFileException("${info.file} has ${file.limit()} bytes; the exported file has ${info.bytes}")
        if (assets.sha256(file) != info.sha256)
            throw InvalidFileException("${info.file} is not the exported file: its SHA-256 differs")
    }

    private fun goldenInput(assets: ModelAssets, info: ModelInfo, classifier: Classifier): FloatArray {
        val pixels = assets.bytes(info.golden.input)
        val size = classifier.metadata.preprocess.inputSize
        if (pixels.size != size * size * 3)
            throw InvalidFileException("${info.golden.input} has ${pixels.size} bytes instead of $size x $size x 3")
        return pixelsToFloats(pixels)
    }
}
