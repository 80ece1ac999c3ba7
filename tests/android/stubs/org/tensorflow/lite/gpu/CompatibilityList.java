package org.tensorflow.lite.gpu;

import java.io.Closeable;
import org.tensorflow.lite.Scene;

/** As in LiteRT 1.4 (litert-gpu), the part that the app uses; it plays {@link Scene}. */
public class CompatibilityList implements Closeable {
    public CompatibilityList() {}

    public boolean isDelegateSupportedOnThisDevice() {
        return Scene.gpuSupported;
    }

    @Override
    public void close() {}
}
