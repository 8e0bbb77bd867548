"""What tests of losses of rows share."""
