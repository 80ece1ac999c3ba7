package mnext.demo

import java.nio.ByteBuffer
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate

/** What a network really runs on, and, where the GPU was asked for and refused, why. */
class Device(val kind: Kind, val threads: Int, val steps: Int, val allSteps: Int, val refusal: Refusal?) {
    /** GPU_IN_PART: [steps] are left of [allSteps], some of them on the CPU. GPU_UNTOLD: LiteRT did not say. */
    enum class Kind { CPU, GPU, GPU_IN_PART, GPU_UNTOLD }
}

/** [text] is LiteRT's own, where there is one. */
class Refusal(val reason: Reason, val text: String?) {
    enum class Reason { NOT_SUPPORTED, FAILED, TOOK_NOTHING }
}

private class Refused(val refusal: Refusal) : Exception()

/**
 * Opens [model] on the GPU or, where that is not wanted or refused, on the CPU; [Device] tells which it was.
 * Throws IllegalArgumentException for what is no model.
 */
fun open(model: ByteBuffer, gpu: Boolean, threads: Int): Opened {
    if (!gpu) return openOnCpu(model, threads, null)
    return try {
        openOnGpu(model, threads)
    } catch (refused: Refused) {
        openOnCpu(model, threads, refused.refusal)
    }
}

private fun openOnCpu(model: ByteBuffer, threads: Int, refusal: Refusal?): Opened {
    val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))
    return Opened(interpreter, null, Device(Device.Kind.CPU, threads, 0, 0, refusal))
}

private fun openOnGpu(model: ByteBuffer, threads: Int): Opened {
    val delegate = try {
        val supported = CompatibilityList().use { it.isDelegateSupportedOnThisDevice }
        if (!supported) throw Refused(Refusal(Refusal.Reason.NOT_SUPPORTED, null))
        GpuDelegate()
    } catch (error: RuntimeException) {
        throw Refused(Refusal(Refusal.Reason.FAILED, error.message))
    } catch (error: LinkageError) { // the library for the GPU is missing or does not fit this phone
        throw Refused(Refusal(Refusal.Reason.FAILED, error.message))
    }
    // Without XNNPACK what the GPU does not take stays visible as steps of their own.
    val interpreter = try {
        Interpreter(model, Interpreter.Options().setNumThreads(threads).setUseXNNPACK(false).addDelegate(delegate))
    } catch (error: RuntimeException) {
        delegate.close()
        throw Refused(Refusal(Refusal.Reason.FAILED, error.message))
    }
    val steps = stepsOf(interpreter)
    val device = when (steps) {
        null -> Device(Device.Kind.GPU_UNTOLD, threads, 0, 0, null)
        1 -> Device(Device.Kind.GPU, threads, 1, 1, null)
        else -> Device(Device.Kind.GPU_IN_PART, threads, steps, stepsWithoutGpu(model), null)
    }
    val opened = Opened(interpreter, delegate, device)
    if (device.kind == Device.Kind.GPU_IN_PART && device.steps >= device.allSteps) {
        opened.close()
        throw Refused(Refusal(Refusal.Reason.TOOK_NOTHING, null))
    }
    return opened
}

private fun stepsWithoutGpu(model: ByteBuffer): Int =
    Interpreter(model, Interpreter.Options().setUseXNNPACK(false)).use { stepsOf(it) ?: 0 }

/**
 * How many steps an inference has: one where a delegate took the whole network. LiteRT knows, but has no public
 * way to ask; null where its inner method is not there any more.
 */
private fun stepsOf(interpreter: Interpreter): Int? = try {
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
