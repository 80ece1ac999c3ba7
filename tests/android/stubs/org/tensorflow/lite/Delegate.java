package org.tensorflow.lite;

import java.io.Closeable;

/** As in LiteRT 1.4, the part that the app uses. */
public interface Delegate extends Closeable {
    long getNativeHandle();

    @Override
    default void close() {}
}
