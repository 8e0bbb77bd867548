"""The measurements and the competitors of `lossless bench`."""
