"""A network in any of its forms as one thing: images in, logits out."""
