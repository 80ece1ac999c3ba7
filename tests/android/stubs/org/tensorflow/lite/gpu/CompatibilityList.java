package org.tensorflow.lite.gpu;

import java.io.Closeable;
import org.tensorflow.lite.Scenario;

/** The part of LiteRT 1.4 (litert-gpu) that the app uses; its behavior is set by {@link Scenario}. */
public class CompatibilityList implements Closeable {
    public CompatibilityList() {}

    public boolean isDelegateSupportedOnThisDevice() {
        return Scenario.gpuSupported;
    }

    @Override
    public void close() {}
}
