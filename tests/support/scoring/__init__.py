"""What tests of `lossless score` share."""
