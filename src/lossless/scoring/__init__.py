"""Losses of files with columns, however large: readers, exact totals, results."""
