package mnext.demo

import android.content.Context
import mnext.demo.core.ModelMetadata
import mnext.demo.core.topK

/** The classes predicted for a photo and how; times in milliseconds. */
class Prediction(
    val classes: List<Pair<String, Float>>,
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
    private var classifier: Classifier? = null

    fun predict(context: Context, photo: Photo, model: String, gpu: Boolean, threads: Int): Prediction {
        val classifier = classifier(context, Key(model, gpu, threads))
        val begin = System.nanoTime()
        val image = photo.decode()
        val decoded = System.nanoTime()
        val pixels = classifier.metadata.preprocess.apply(image.pixels)
        val preprocessed = System.nanoTime()
        val (probabilities, timing) = classifier.classifyTimed(pixels)
        return Prediction(
            topK(probabilities, TOP).map { classifier.metadata.labels[it] to probabilities[it] },
            classifier.backend, timing, (decoded - begin) / 1e6, (preprocessed - decoded) / 1e6, image.sampleSize,
        )
    }

    /** Releases the loaded model. */
    fun close() {
        classifier?.close()
        classifier = null
        key = null
    }

    private fun classifier(context: Context, requested: Key): Classifier {
        classifier?.let { if (key == requested) return it }
        close()
        return openClassifier(ModelAssets(context.assets), requested.model, requested.gpu, requested.threads).also {
            classifier = it
            key = requested
        }
    }

    private const val TOP = 5
}

/** Throws [mnext.demo.core.InvalidFileException] or IllegalArgumentException if the model is corrupt. */
fun openClassifier(assets: ModelAssets, name: String, gpu: Boolean, threads: Int): Classifier {
    val file = assets.map(assets.info(name).file)
    val metadata = ModelMetadata.read(file)
    val model = loadModel(file, gpu, threads)
    return try {
        Classifier(model, metadata)
    } catch (error: Throwable) {
        model.close()
        throw error
    }
}
