package org.tensorflow.lite;

/** As in LiteRT 1.4, the part that the app uses. */
public enum DataType {
    FLOAT32, INT32, UINT8, INT64, STRING, BOOL, INT16, INT8
}
