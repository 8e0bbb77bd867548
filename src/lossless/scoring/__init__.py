"""Losses of files with columns, of any size: readers, exact totals, results."""
