package mnext.demo

import android.content.Context
import mnext.demo.core.Comparison
import mnext.demo.core.Golden
import mnext.demo.core.InvalidFileException
import mnext.demo.core.ModelInfo
import mnext.demo.core.pixelsToFloats

/** Runs the golden test of every model. Continues, and keeps its results, when the screen rotates. */
object SelfCheck {
    enum class Verdict { PASS, FAIL, NOT_RUN }

    /** [comparison] is null if nothing was compared; [error] is what went wrong. */
    class CheckResult(
        val title: String,
        val gpu: Boolean,
        val verdict: Verdict,
        val comparison: Comparison?,
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
        openNetwork(assets, info, gpu, threads).use { network ->
            if (network.backend.fallback != null) {
                CheckResult(info.title, gpu, Verdict.NOT_RUN, null, network.backend, null)
            } else {
                val comparison = compare(network, goldenInput(assets, info, network), info.golden, gpu)
                val verdict = if (comparison.passed) Verdict.PASS else Verdict.FAIL
                CheckResult(info.title, gpu, verdict, comparison, network.backend, null)
            }
        }
    } catch (error: Exception) { // any exception, so that the other models are still checked
        failed(name, gpu, error)
    }

    private fun compare(network: Network<*>, pixels: FloatArray, golden: Golden, gpu: Boolean): Comparison = when (golden) {
        is Golden.Probabilities -> golden.compare((network as Classifier).run(pixels), gpu)
        is Golden.Detections -> golden.compare((network as Detector).run(pixels))
    }

    private fun failed(title: String, gpu: Boolean, error: Throwable) =
        CheckResult(title, gpu, Verdict.FAIL, null, null, error.message ?: error.toString())

    private fun checkFile(assets: ModelAssets, info: ModelInfo) {
        val file = assets.map(info.file)
        if (file.limit().toLong() != info.bytes)
            throw InvalidFileException("${info.file} has ${file.limit()} bytes; the exported file has ${info.bytes}")
        if (assets.sha256(file) != info.sha256)
            throw InvalidFileException("${info.file} is not the exported file: its SHA-256 differs")
    }

    private fun goldenInput(assets: ModelAssets, info: ModelInfo, network: Network<*>): FloatArray {
        val pixels = assets.bytes(info.golden.input)
        val size = network.metadata.preprocess.inputSize
        if (pixels.size != size * size * 3)
            throw InvalidFileException("${info.golden.input} has ${pixels.size} bytes instead of $size x $size x 3")
        return pixelsToFloats(pixels)
    }
}
