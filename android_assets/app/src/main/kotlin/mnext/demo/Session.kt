package mnext.demo

import android.content.Context
import mnext.demo.core.ModelFile
import mnext.demo.core.largest

/** What the app finds in a picture; times in milliseconds. */
class Answer(
    val best: List<Pair<String, Float>>,
    val device: Device,
    val timing: Timing,
    val reading: Double,
    val preparing: Double,
    val reduced: Int,
)

/** The network that is open, kept from one picture to the next. Used on [Worker]'s thread only. */
object Session {
    private data class Choice(val model: String, val gpu: Boolean, val threads: Int)

    private var choice: Choice? = null
    private var classifier: Classifier? = null

    fun answer(context: Context, photo: Photo, model: String, gpu: Boolean, threads: Int): Answer {
        val network = network(context, Choice(model, gpu, threads))
        val begin = System.nanoTime()
        val picture = photo.load()
        val read = System.nanoTime()
        val pixels = network.about.preprocess.apply(picture.pixels)
        val prepared = System.nanoTime()
        val (probabilities, timing) = network.classifyTimed(pixels)
        return Answer(
            largest(probabilities, TOP).map { network.about.labels[it] to probabilities[it] },
            network.device, timing, (read - begin) / 1e6, (prepared - read) / 1e6, picture.reduced,
        )
    }

    /** Frees what is open, before others are opened. */
    fun close() {
        classifier?.close()
        classifier = null
        choice = null
    }

    private fun network(context: Context, wanted: Choice): Classifier {
        classifier?.let { if (choice == wanted) return it }
        close()
        return openModel(ModelAssets(context.assets), wanted.model, wanted.gpu, wanted.threads).also {
            classifier = it
            choice = wanted
        }
    }

    private const val TOP = 5
}

/** Throws [mnext.demo.core.BadFile] or IllegalArgumentException for a model that is damaged. */
fun openModel(assets: ModelAssets, name: String, gpu: Boolean, threads: Int): Classifier {
    val file = assets.map(assets.description(name).file)
    val about = ModelFile.read(file)
    val opened = open(file, gpu, threads)
    return try {
        Classifier(opened, about)
    } catch (error: Throwable) {
        opened.close()
        throw error
    }
}
