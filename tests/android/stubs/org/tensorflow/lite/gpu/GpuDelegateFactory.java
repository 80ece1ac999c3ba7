package org.tensorflow.lite.gpu;

/** The part of LiteRT 1.4 (litert-gpu-api) that the app uses. */
public class GpuDelegateFactory {
    public static class Options {}
}
