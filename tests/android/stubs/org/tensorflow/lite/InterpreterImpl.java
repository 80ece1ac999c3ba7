package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** The part of LiteRT 1.4 that the app uses; its behavior is set by {@link Scenario}. */
class InterpreterImpl implements InterpreterApi {
    private final boolean gpu;

    InterpreterImpl(Options options) {
        gpu = !options.delegates.isEmpty();
        if (gpu && Scenario.applyError != null) {
            throw Scenario.applyError;
        }
        Scenario.events.add((gpu ? "gpu" : "cpu") + ":" + options.numThreads + (options.useXNNPACK ? ":xnnpack" : ""));
    }

    @Override
    public void run(Object input, Object output) {
        ByteBuffer from = (ByteBuffer) input;
        Scenario.lastInput = new byte[Math.min(16, from.remaining())];
        from.get(Scenario.lastInput);
        ByteBuffer to = ((ByteBuffer) output).order(ByteOrder.nativeOrder());
        for (float value : Scenario.output) {
            to.putFloat(value);
        }
    }

    @Override
    public Tensor getInputTensor(int inputIndex) {
        return tensor(Scenario.inputType, Scenario.inputShape);
    }

    @Override
    public Tensor getOutputTensor(int outputIndex) {
        return tensor(DataType.FLOAT32, Scenario.outputShape);
    }

    int getExecutionPlanLength() {
        int nodes = gpu ? Scenario.nodesOnGpu : Scenario.nodesOnCpu;
        if (nodes < 0) {
            throw new IllegalStateException("unavailable");
        }
        return nodes;
    }

    @Override
    public void close() {
        Scenario.events.add("closed");
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
