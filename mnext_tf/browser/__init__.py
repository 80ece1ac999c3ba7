"""A page that runs .tflite files in a browser, and the server that hands it out."""
