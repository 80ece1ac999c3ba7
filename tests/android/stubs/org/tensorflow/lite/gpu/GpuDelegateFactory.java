package org.tensorflow.lite.gpu;

/** As in LiteRT 1.4 (litert-gpu-api), the part that the app uses. */
public class GpuDelegateFactory {
    public static class Options {}
}
