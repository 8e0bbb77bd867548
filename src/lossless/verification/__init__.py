"""The truth that results are compared with: losses from their definitions, and exact rounding.

Nothing here comes from the kernels or the formulas: `lossless verify` and the tests depend on it.
"""
