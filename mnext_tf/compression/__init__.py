"""Smaller networks: post-training quantization."""
