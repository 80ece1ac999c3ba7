package org.tensorflow.lite;

import java.nio.ByteBuffer;

/** The part of LiteRT 1.4 that the app uses. */
public final class Interpreter extends InterpreterImpl implements InterpreterApi {
    public static class Options extends InterpreterApi.Options {
        @Override
        public Options setNumThreads(int numThreads) {
            super.setNumThreads(numThreads);
            return this;
        }

        @Override
        public Options setUseXNNPACK(boolean useXNNPACK) {
            super.setUseXNNPACK(useXNNPACK);
            return this;
        }

        @Override
        public Options addDelegate(Delegate delegate) {
            super.addDelegate(delegate);
            return this;
        }
    }

    public Interpreter(ByteBuffer byteBuffer, Options options) {
        super(options);
    }
}
