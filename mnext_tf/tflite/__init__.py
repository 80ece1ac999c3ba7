"""The .tflite file itself: FlatBuffers, metadata, operators. Nothing here imports TensorFlow."""
