package org.tensorflow.lite.gpu;

import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.Scenario;

/** The part of LiteRT 1.4 (litert-gpu) that the app uses; its behavior is set by {@link Scenario}. */
public class GpuDelegate implements Delegate {
    public GpuDelegate(GpuDelegateFactory.Options options) {
        Scenario.failCreation();
        Scenario.events.add("delegate");
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
        Scenario.events.add("delegate closed");
    }
}
