package org.tensorflow.lite;

import java.io.Closeable;

/** The part of LiteRT 1.4 that the app uses. */
public interface Delegate extends Closeable {
    long getNativeHandle();

    @Override
    default void close() {}
}
