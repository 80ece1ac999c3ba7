package org.tensorflow.lite;

/** The part of LiteRT 1.4 that the app uses. */
public interface Tensor {
    class QuantizationParams {
        public float getScale() {
            return 1;
        }

        public int getZeroPoint() {
            return 0;
        }
    }

    DataType dataType();

    String name();

    int numBytes();

    int[] shape();

    QuantizationParams quantizationParams();
}
