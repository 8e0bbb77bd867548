"""What `lossless bench` measures, and what it compares with."""
