"""MLX arrays."""
