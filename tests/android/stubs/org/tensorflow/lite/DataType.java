package org.tensorflow.lite;

/** The part of LiteRT 1.4 that the app uses. */
public enum DataType {
    FLOAT32, INT32, UINT8, INT64, STRING, BOOL, INT16, INT8
}
