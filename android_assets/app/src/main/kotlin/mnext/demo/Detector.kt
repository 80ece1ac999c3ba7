package mnext.demo

import java.nio.ByteBuffer
import mnext.demo.core.Detection
import mnext.demo.core.DetectorOutputs
import mnext.demo.core.Fit
import mnext.demo.core.InvalidFileException
import mnext.demo.core.ModelMetadata
import mnext.demo.core.readTensor
import mnext.demo.core.rewindCompat
import org.tensorflow.lite.Tensor

/** An object detector: boxes of the whole image, best first, already suppressed by the model. */
class Detector(model: LoadedModel, metadata: ModelMetadata) : Network<List<Detection>>(model, metadata) {
    private class Output(val index: Int, val tensor: Tensor) {
        val buffer: ByteBuffer = ByteBuffer.allocateDirect(tensor.numBytes())
    }

    private val outputs = List(interpreter.outputTensorCount) { Output(it, interpreter.getOutputTensor(it)) }
    private val location = named(DetectorOutputs.LOCATION)
    private val category = named(DetectorOutputs.CATEGORY)
    private val score = named(DetectorOutputs.SCORE)
    private val count = named(DetectorOutputs.COUNT)
    private val most = score.tensor.shape().last()

    init {
        checkShape(DetectorOutputs.LOCATION, location.tensor, intArrayOf(1, most, 4))
        checkShape(DetectorOutputs.CATEGORY, category.tensor, intArrayOf(1, most))
        checkShape(DetectorOutputs.SCORE, score.tensor, intArrayOf(1, most))
        checkShape(DetectorOutputs.COUNT, count.tensor, intArrayOf(1))
        if (metadata.preprocess.fit != Fit.SQUASH)
            throw InvalidFileException("the model's preprocess.json must have the fit squash: boxes are of whole images")
    }

    override fun infer(input: ByteBuffer) {
        outputs.forEach { it.buffer.rewindCompat() }
        interpreter.runForMultipleInputsOutputs(arrayOf<Any>(input), outputs.associate { it.index to it.buffer })
    }

    override fun output(): List<Detection> =
        DetectorOutputs.read(read(location), read(category), read(score), read(count)[0], metadata.labels.size)

    override fun shown(output: List<Detection>): List<Found> =
        output.filter { it.score >= SHOWN }.map { Found(metadata.labels[it.label], it.label, it.score, it.box) }

    private fun read(output: Output): FloatArray =
        readTensor(output.buffer, output.tensor.tensorType(), output.tensor.shape().fold(1, Int::times))

    private fun named(name: String): Output = outputs.find { it.tensor.name() == name }
        ?: throw InvalidFileException("the model has no output named $name; its outputs: " +
            outputs.joinToString { it.tensor.name() })

    companion object {
        /** Boxes with lower scores, which are mostly wrong, are not shown. */
        const val SHOWN = 0.3f
    }
}
