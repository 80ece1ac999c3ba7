package mnext.demo

import java.nio.ByteBuffer
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate

/** The backend that a model actually runs on; [fallback] says why it is not the GPU, if the GPU was requested. */
class Backend(val kind: Kind, val threads: Int, val nodes: Int, val totalNodes: Int, val fallback: GpuFallback?) {
    /**
     * GPU_PARTIAL: the execution plan has [nodes] nodes instead of [totalNodes], and some of them run on the CPU.
     * GPU_UNKNOWN: LiteRT did not report the number of nodes.
     */
    enum class Kind { CPU, GPU, GPU_PARTIAL, GPU_UNKNOWN }
}

/** Why the GPU is not used; [message] is LiteRT's, if it gave one. */
class GpuFallback(val reason: Reason, val message: String?) {
    enum class Reason { NOT_SUPPORTED, FAILED, NO_OPERATORS, DETECTOR }
}

private class GpuUnavailable(val fallback: GpuFallback) : Exception()

/**
 * Loads [model] on the GPU, if [gpu] is true and the GPU is usable, otherwise on the CPU; a [detector] always on the CPU,
 * which alone has the operator that computes its boxes.
 *
 * Throws IllegalArgumentException if [model] is not a TFLite model.
 */
fun loadModel(model: ByteBuffer, gpu: Boolean, threads: Int, detector: Boolean): LoadedModel {
    if (!gpu) return loadOnCpu(model, threads, null)
    if (detector) return loadOnCpu(model, threads, GpuFallback(GpuFallback.Reason.DETECTOR, null))
    return try {
        loadOnGpu(model, threads)
    } catch (error: GpuUnavailable) {
        loadOnCpu(model, threads, error.fallback)
    }
}

private fun loadOnCpu(model: ByteBuffer, threads: Int, fallback: GpuFallback?): LoadedModel {
    val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))
    return LoadedModel(interpreter, null, Backend(Backend.Kind.CPU, threads, 0, 0, fallback))
}

private fun loadOnGpu(model: ByteBuffer, threads: Int): LoadedModel {
    val delegate = try {
        val supported = CompatibilityList().use { it.isDelegateSupportedOnThisDevice }
        if (!supported) throw GpuUnavailable(GpuFallback(GpuFallback.Reason.NOT_SUPPORTED, null))
        GpuDelegate()
    } catch (error: RuntimeException) {
        throw GpuUnavailable(GpuFallback(GpuFallback.Reason.FAILED, error.message))
    } catch (error: LinkageError) { // the native library is missing or incompatible
        throw GpuUnavailable(GpuFallback(GpuFallback.Reason.FAILED, error.message))
    }
    // Without XNNPACK, the nodes that are not delegated to the GPU can be counted.
    val interpreter = try {
        Interpreter(model, Interpreter.Options().setNumThreads(threads).setUseXNNPACK(false).addDelegate(delegate))
    } catch (error: RuntimeException) {
        delegate.close()
        throw GpuUnavailable(GpuFallback(GpuFallback.Reason.FAILED, error.message))
    }
    val nodes = countNodes(interpreter)
    val backend = when (nodes) {
        null -> Backend(Backend.Kind.GPU_UNKNOWN, threads, 0, 0, null)
        1 -> Backend(Backend.Kind.GPU, threads, 1, 1, null)
        else -> Backend(Backend.Kind.GPU_PARTIAL, threads, nodes, countNodesOnCpu(model), null)
    }
    val loaded = LoadedModel(interpreter, delegate, backend)
    if (backend.kind == Backend.Kind.GPU_PARTIAL && backend.nodes >= backend.totalNodes) {
        loaded.close()
        throw GpuUnavailable(GpuFallback(GpuFallback.Reason.NO_OPERATORS, null))
    }
    return loaded
}

private fun countNodesOnCpu(model: ByteBuffer): Int =
    Interpreter(model, Interpreter.Options().setUseXNNPACK(false)).use { countNodes(it) ?: 0 }

/**
 * The length of the execution plan: 1 if a delegate took the entire model. LiteRT has no public API for it, so this
 * calls an internal method; null if that no longer exists.
 */
private fun countNodes(interpreter: Interpreter): Int? = try {
    val method = generateSequence<Class<*>>(interpreter.javaClass) { it.superclass }
        .flatMap { it.declaredMethods.asSequence() }
        .first { it.name == "getExecutionPlanLength" && it.parameterTypes.isEmpty() }
    method.isAccessible = true
    method.invoke(interpreter) as? Int
} catch (_: ReflectiveOperationException) {
    null
} catch (_: NoSuchElementException) {
    null
}
