package org.tensorflow.lite.gpu;

import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.Scene;

/** As in LiteRT 1.4 (litert-gpu), the part that the app uses; it plays {@link Scene}. */
public class GpuDelegate implements Delegate {
    public GpuDelegate(GpuDelegateFactory.Options options) {
        Scene.failMaking();
        Scene.events.add("delegate");
    }

    public GpuDelegate() {
        this(new GpuDelegateFactory.Options());
    }

    @Override
    public long getNativeHandle() {
        return 1;
    }

    @Override
    public void close() {
        Scene.events.add("delegate closed");
    }
}
