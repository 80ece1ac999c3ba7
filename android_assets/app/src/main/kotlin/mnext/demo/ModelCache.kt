package mnext.demo

import android.content.Context
import mnext.demo.core.Golden
import mnext.demo.core.ModelInfo
import mnext.demo.core.ModelMetadata

/** What was found in a photo, best first, and how; times in milliseconds. */
class Prediction(
    val found: List<Found>,
    val backend: Backend,
    val timing: Timing,
    val decodeTime: Double,
    val preprocessTime: Double,
    val sampleSize: Int,
)

/** Keeps one model loaded from one photo to the next. Use it only on the [Worker] thread. */
object ModelCache {
    private data class Key(val model: String, val gpu: Boolean, val threads: Int)

    private var key: Key? = null
    private var network: Network<*>? = null

    fun predict(context: Context, photo: Photo, model: String, gpu: Boolean, threads: Int): Prediction {
        val network = network(context, Key(model, gpu, threads))
        val begin = System.nanoTime()
        val image = photo.decode()
        val decoded = System.nanoTime()
        val pixels = network.metadata.preprocess.apply(image.pixels)
        val preprocessed = System.nanoTime()
        val (found, timing) = network.findTimed(pixels)
        return Prediction(
            found, network.backend, timing, (decoded - begin) / 1e6, (preprocessed - decoded) / 1e6, image.sampleSize,
        )
    }

    /** Releases the loaded model. */
    fun close() {
        network?.close()
        network = null
        key = null
    }

    private fun network(context: Context, requested: Key): Network<*> {
        network?.let { if (key == requested) return it }
        close()
        val assets = ModelAssets(context.assets)
        return openNetwork(assets, assets.info(requested.model), requested.gpu, requested.threads).also {
            network = it
            key = requested
        }
    }
}

/** Throws [mnext.demo.core.InvalidFileException] or IllegalArgumentException if the model is corrupt. */
fun openNetwork(assets: ModelAssets, info: ModelInfo, gpu: Boolean, threads: Int): Network<*> {
    val file = assets.map(info.file)
    val metadata = ModelMetadata.read(file)
    val model = loadModel(file, gpu, threads, info.golden is Golden.Detections)
    return try {
        when (info.golden) {
            is Golden.Probabilities -> Classifier(model, metadata)
            is Golden.Detections -> Detector(model, metadata)
        }
    } catch (error: Throwable) {
        model.close()
        throw error
    }
}
