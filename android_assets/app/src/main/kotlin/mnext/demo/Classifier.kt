package mnext.demo

import java.nio.ByteBuffer
import mnext.demo.core.ModelMetadata
import mnext.demo.core.readTensor
import mnext.demo.core.rewindCompat
import mnext.demo.core.topK
import org.tensorflow.lite.Tensor

/** An image classifier: one probability per label. */
class Classifier(model: LoadedModel, metadata: ModelMetadata) : Network<FloatArray>(model, metadata) {
    private val output: Tensor = interpreter.getOutputTensor(0)
    private val buffer = ByteBuffer.allocateDirect(output.numBytes())

    init {
        checkShape("output", output, intArrayOf(1, metadata.labels.size))
    }

    override fun infer(input: ByteBuffer) {
        buffer.rewindCompat()
        interpreter.run(input, buffer)
    }

    override fun output(): FloatArray = readTensor(buffer, output.tensorType(), metadata.labels.size)

    override fun shown(output: FloatArray): List<Found> =
        topK(output, TOP).map { Found(metadata.labels[it], it, output[it], null) }

    private companion object {
        const val TOP = 5
    }
}
