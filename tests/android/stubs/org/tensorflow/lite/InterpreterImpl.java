package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** As in LiteRT 1.4, the part that the app uses; it plays {@link Scene}. */
class InterpreterImpl implements InterpreterApi {
    private final boolean gpu;

    InterpreterImpl(Options options) {
        gpu = !options.delegates.isEmpty();
        if (gpu && Scene.applyingFails != null) {
            throw Scene.applyingFails;
        }
        Scene.events.add((gpu ? "gpu" : "cpu") + ":" + options.numThreads + (options.useXNNPACK ? ":xnnpack" : ""));
    }

    @Override
    public void run(Object input, Object output) {
        ByteBuffer from = (ByteBuffer) input;
        Scene.fed = new byte[Math.min(16, from.remaining())];
        from.get(Scene.fed);
        ByteBuffer to = ((ByteBuffer) output).order(ByteOrder.nativeOrder());
        for (float value : Scene.output) {
            to.putFloat(value);
        }
    }

    @Override
    public Tensor getInputTensor(int inputIndex) {
        return tensor(Scene.inputType, Scene.inputShape);
    }

    @Override
    public Tensor getOutputTensor(int outputIndex) {
        return tensor(DataType.FLOAT32, Scene.outputShape);
    }

    int getExecutionPlanLength() {
        int steps = gpu ? Scene.stepsWithGpu : Scene.stepsWithout;
        if (steps < 0) {
            throw new IllegalStateException("not told");
        }
        return steps;
    }

    @Override
    public void close() {
        Scene.events.add("closed");
    }

    private static Tensor tensor(DataType type, int[] shape) {
        return new Tensor() {
            @Override
            public DataType dataType() {
                return type;
            }

            @Override
            public int numBytes() {
                return Arrays.stream(shape).reduce(1, (a, b) -> a * b) * (type == DataType.FLOAT32 ? 4 : 1);
            }

            @Override
            public int[] shape() {
                return shape;
            }

            @Override
            public QuantizationParams quantizationParams() {
                return new QuantizationParams();
            }
        };
    }
}
