package mnext.demo

import java.io.Closeable
import java.nio.ByteBuffer
import mnext.demo.core.BadFile
import mnext.demo.core.ModelFile
import mnext.demo.core.NumberType
import mnext.demo.core.median
import mnext.demo.core.pack
import mnext.demo.core.toBegin
import mnext.demo.core.unpack
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.gpu.GpuDelegate

/** Milliseconds: of the inference that gave the answer, and the median of [count] that followed it. */
class Timing(val single: Double, val median: Double, val count: Int)

/** A network, open. Open, use and close it on one thread. */
class Classifier(private val opened: Opened, val about: ModelFile) : Closeable {
    private val interpreter: Interpreter = opened.interpreter
    private val input: Tensor = interpreter.getInputTensor(0)
    private val output: Tensor = interpreter.getOutputTensor(0)
    private val inputBytes = ByteBuffer.allocateDirect(input.numBytes())
    private val outputBytes = ByteBuffer.allocateDirect(output.numBytes())
    private val classes = about.labels.size

    /** What it really runs on. */
    val device: Device get() = opened.device

    init {
        val side = about.preprocess.inputSize
        check("input", input, intArrayOf(1, side, side, 3))
        check("output", output, intArrayOf(1, classes))
    }

    /** Probabilities, one a label, of pixels as [mnext.demo.core.Preprocess.apply] gives them. */
    fun classify(pixels: FloatArray): FloatArray {
        pack(pixels, input.numbers(), inputBytes)
        infer()
        return unpack(outputBytes, output.numbers(), classes)
    }

    /** The same, with the time it took, and then the time again and again on the same pixels. */
    fun classifyTimed(pixels: FloatArray): Pair<FloatArray, Timing> {
        pack(pixels, input.numbers(), inputBytes)
        val single = milliseconds { infer() }
        val probabilities = unpack(outputBytes, output.numbers(), classes)
        repeat(WARM_UP) { infer() }
        val times = ArrayList<Double>()
        while (times.size < FEWEST || (times.size < MOST && times.sum() < ENOUGH)) times += milliseconds { infer() }
        return probabilities to Timing(single, median(times), times.size)
    }

    override fun close() = opened.close()

    private fun infer() {
        inputBytes.toBegin()
        outputBytes.toBegin()
        interpreter.run(inputBytes, outputBytes)
    }

    private inline fun milliseconds(work: () -> Unit): Double {
        val begin = System.nanoTime()
        work()
        return (System.nanoTime() - begin) / 1e6
    }

    private fun Tensor.numbers(): NumberType {
        val kind = when (dataType()) {
            DataType.FLOAT32 -> NumberType.Kind.FLOAT32
            DataType.UINT8 -> NumberType.Kind.UINT8
            DataType.INT8 -> NumberType.Kind.INT8
            else -> throw BadFile("the model has a tensor of type ${dataType()}; float32, uint8 and int8 are known")
        }
        val quantization = quantizationParams()
        return NumberType(kind, quantization.scale, quantization.zeroPoint)
    }

    private fun check(what: String, tensor: Tensor, shape: IntArray) {
        if (!tensor.shape().contentEquals(shape)) throw BadFile(
            "the model's $what has the shape ${tensor.shape().contentToString()}; " +
                "its labels and preprocess.json ask for ${shape.contentToString()}"
        )
    }

    private companion object {
        const val WARM_UP = 3
        const val FEWEST = 5
        const val MOST = 50
        const val ENOUGH = 1000.0 // milliseconds
    }
}

/** An interpreter with what it holds on to. */
class Opened(val interpreter: Interpreter, private val gpu: GpuDelegate?, val device: Device) : Closeable {
    override fun close() {
        interpreter.close()
        gpu?.close() // after the interpreter, which uses it
    }
}
