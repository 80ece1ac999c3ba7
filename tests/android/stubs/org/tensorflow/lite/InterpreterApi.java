package org.tensorflow.lite;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The part of LiteRT 1.4 that the app uses. */
public interface InterpreterApi extends AutoCloseable {
    class Options {
        int numThreads = -1;
        boolean useXNNPACK = true;
        final List<Delegate> delegates = new ArrayList<>();

        public Options setNumThreads(int numThreads) {
            this.numThreads = numThreads;
            return this;
        }

        public Options setUseXNNPACK(boolean useXNNPACK) {
            this.useXNNPACK = useXNNPACK;
            return this;
        }

        public Options addDelegate(Delegate delegate) {
            delegates.add(delegate);
            return this;
        }
    }

    void run(Object input, Object output);

    void runForMultipleInputsOutputs(Object[] inputs, Map<Integer, Object> outputs);

    int getOutputTensorCount();

    Tensor getInputTensor(int inputIndex);

    Tensor getOutputTensor(int outputIndex);

    @Override
    void close();
}
