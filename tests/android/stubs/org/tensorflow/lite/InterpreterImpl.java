package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Map;

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
        runForMultipleInputsOutputs(new Object[] {input}, Map.of(0, output));
    }

    @Override
    public void runForMultipleInputsOutputs(Object[] inputs, Map<Integer, Object> outputs) {
        ByteBuffer from = (ByteBuffer) inputs[0];
        Scenario.lastInput = new byte[Math.min(16, from.remaining())];
        from.get(Scenario.lastInput);
        outputs.forEach((index, output) -> {
            ByteBuffer to = ((ByteBuffer) output).order(ByteOrder.nativeOrder());
            for (float value : Scenario.outputs.get(index).values) {
                to.putFloat(value);
            }
        });
    }

    @Override
    public int getOutputTensorCount() {
        return Scenario.outputs.size();
    }

    @Override
    public Tensor getInputTensor(int inputIndex) {
        return tensor("image", Scenario.inputType, Scenario.inputShape);
    }

    @Override
    public Tensor getOutputTensor(int outputIndex) {
        Scenario.Output output = Scenario.outputs.get(outputIndex);
        return tensor(output.name, DataType.FLOAT32, output.shape);
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

    private static Tensor tensor(String name, DataType type, int[] shape) {
        return new Tensor() {
            @Override
            public DataType dataType() {
                return type;
            }

            @Override
            public String name() {
                return name;
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
