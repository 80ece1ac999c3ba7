package mnext.demo

import java.io.Closeable
import java.nio.ByteBuffer
import mnext.demo.core.Box
import mnext.demo.core.InvalidFileException
import mnext.demo.core.ModelMetadata
import mnext.demo.core.TensorType
import mnext.demo.core.median
import mnext.demo.core.rewindCompat
import mnext.demo.core.writeTensor
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.gpu.GpuDelegate

/** Milliseconds: [single] for the inference that gave the result, [median] over [count] inferences after it. */
class Timing(val single: Double, val median: Double, val count: Int)

/** A class that was found in a photo, [label] being its index, and of a detector where: in [box]. */
class Found(val name: String, val label: Int, val score: Float, val box: Box?)

/** A model that gives a [T] for an image. Create, use, and close it on one thread. */
abstract class Network<T>(private val model: LoadedModel, val metadata: ModelMetadata) : Closeable {
    protected val interpreter: Interpreter = model.interpreter
    private val input: Tensor = interpreter.getInputTensor(0)
    private val inputBuffer = ByteBuffer.allocateDirect(input.numBytes())

    /** The backend it actually runs on. */
    val backend: Backend get() = model.backend

    init {
        val size = metadata.preprocess.inputSize
        checkShape("input", input, intArrayOf(1, size, size, 3))
    }

    /** Runs one inference; [output] reads its result. */
    protected abstract fun infer(input: ByteBuffer)

    protected abstract fun output(): T

    /** What the app shows of an output, best first. */
    protected abstract fun shown(output: T): List<Found>

    /** The output for pixels from [mnext.demo.core.Preprocess.apply]. */
    fun run(pixels: FloatArray): T {
        write(pixels)
        infer()
        return output()
    }

    /** Like [run]; also measures latency by repeating the inference with the same pixels. */
    fun runTimed(pixels: FloatArray): Pair<T, Timing> {
        write(pixels)
        val single = milliseconds { infer() }
        val output = output()
        repeat(WARMUP_RUNS) { infer() }
        val times = ArrayList<Double>()
        while (times.size < MIN_RUNS || times.size < MAX_RUNS && times.sum() < TIME_BUDGET) {
            times += milliseconds { infer() }
        }
        return output to Timing(single, median(times), times.size)
    }

    /** Like [runTimed], with what the app shows. */
    fun findTimed(pixels: FloatArray): Pair<List<Found>, Timing> =
        runTimed(pixels).let { (output, timing) -> shown(output) to timing }

    override fun close() = model.close()

    private fun write(pixels: FloatArray) = writeTensor(pixels, input.tensorType(), inputBuffer)

    private fun infer() {
        inputBuffer.rewindCompat()
        infer(inputBuffer)
    }

    private inline fun milliseconds(work: () -> Unit): Double {
        val begin = System.nanoTime()
        work()
        return (System.nanoTime() - begin) / 1e6
    }

    protected fun Tensor.tensorType(): TensorType {
        val dtype = when (dataType()) {
            DataType.FLOAT32 -> TensorType.Dtype.FLOAT32
            DataType.UINT8 -> TensorType.Dtype.UINT8
            DataType.INT8 -> TensorType.Dtype.INT8
            else -> throw InvalidFileException("tensor type ${dataType()} is not float32, uint8, or int8")
        }
        val quantization = quantizationParams()
        return TensorType(dtype, quantization.scale, quantization.zeroPoint)
    }

    protected fun checkShape(name: String, tensor: Tensor, shape: IntArray) {
        if (!tensor.shape().contentEquals(shape)) throw InvalidFileException(
            "the model's $name has the shape ${tensor.shape().contentToString()}; " +
                "its labels.txt and preprocess.json require ${shape.contentToString()}"
        )
    }

    private companion object {
        const val WARMUP_RUNS = 3
        const val MIN_RUNS = 5
        const val MAX_RUNS = 50
        const val TIME_BUDGET = 1000.0 // milliseconds
    }
}

/** An interpreter and the resources it holds. */
class LoadedModel(val interpreter: Interpreter, private val gpu: GpuDelegate?, val backend: Backend) : Closeable {
    override fun close() {
        interpreter.close()
        gpu?.close() // only after the interpreter, which uses it
    }
}
