"""What tests of MLX, PyTorch and JAX arrays share."""
