package mnext.demo

import android.content.Context
import mnext.demo.core.BadFile
import mnext.demo.core.Description
import mnext.demo.core.largestDifference
import mnext.demo.core.pixelValues

/** Runs every model's golden input and compares. It goes on, and keeps what it found, while its screen is turned. */
object SelfCheck {
    enum class Verdict { PASS, FAIL, NOT_RUN }

    /** [difference] is null where nothing was compared; [note] says why, or what is wrong. */
    class Finding(
        val title: String,
        val gpu: Boolean,
        val verdict: Verdict,
        val difference: Float?,
        val tolerance: Float,
        val device: Device?,
        val note: String?,
    )

    // All of these belong to the UI thread.
    val findings = ArrayList<Finding>()
    var running = false
        private set
    var listener: (() -> Unit)? = null

    fun start(context: Context, threads: Int) {
        if (running) return
        running = true
        findings.clear()
        val assets = ModelAssets(context.applicationContext.assets)
        Worker.run({
            Session.close()
            for (name in assets.names()) for (gpu in listOf(false, true)) {
                val finding = check(assets, name, gpu, threads)
                Worker.tell {
                    findings += finding
                    listener?.invoke()
                }
            }
        }) { result ->
            running = false
            result.exceptionOrNull()?.let { findings += failed("", false, it) }
            listener?.invoke()
        }
    }

    private fun check(assets: ModelAssets, name: String, gpu: Boolean, threads: Int): Finding = try {
        val description = assets.description(name)
        checkFile(assets, description)
        val golden = description.golden
        val tolerance = if (gpu) golden.gpuTolerance else golden.tolerance
        openModel(assets, name, gpu, threads).use { network ->
            if (network.device.refusal != null) {
                Finding(description.title, gpu, Verdict.NOT_RUN, null, tolerance, network.device, null)
            } else {
                val output = network.classify(input(assets, description, network))
                val difference = largestDifference(output, golden.output)
                val passed = difference <= tolerance // false where the difference is not a number
                val verdict = if (passed) Verdict.PASS else Verdict.FAIL
                Finding(description.title, gpu, verdict, difference, tolerance, network.device, null)
            }
        }
    } catch (error: Exception) { // whatever it is, the other models are still checked
        failed(name, gpu, error)
    }

    private fun failed(title: String, gpu: Boolean, error: Throwable) =
        Finding(title, gpu, Verdict.FAIL, null, 0f, null, error.message ?: error.toString())

    private fun checkFile(assets: ModelAssets, description: Description) {
        val file = assets.map(description.file)
        if (file.limit().toLong() != description.bytes)
            throw BadFile("${description.file} has ${file.limit()} bytes, not the ${description.bytes} that were exported")
        if (assets.sha256(file) != description.sha256)
            throw BadFile("${description.file} is not the file that was exported: its SHA-256 differs")
    }

    private fun input(assets: ModelAssets, description: Description, network: Classifier): FloatArray {
        val pixels = assets.bytes(description.golden.input)
        val side = network.about.preprocess.inputSize
        if (pixels.size != side * side * 3)
            throw BadFile("${description.golden.input} has ${pixels.size} bytes, not $side x $side x 3")
        return pixelValues(pixels)
    }
}
