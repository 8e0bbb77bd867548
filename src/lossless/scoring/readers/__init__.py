"""Files with columns, read a piece at a time, so that no file is too large."""
