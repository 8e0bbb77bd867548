"""What `lossless demo` does: data, linear models, a picture."""
