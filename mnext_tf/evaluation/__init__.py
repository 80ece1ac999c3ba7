"""How good a network is, in any of its forms: accuracy on labeled images, predictions on single ones.

Importing this package does not import TensorFlow.
"""
