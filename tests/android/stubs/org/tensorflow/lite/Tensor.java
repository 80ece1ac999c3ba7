package org.tensorflow.lite;

/** As in LiteRT 1.4, the part that the app uses. */
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

    int numBytes();

    int[] shape();

    QuantizationParams quantizationParams();
}
