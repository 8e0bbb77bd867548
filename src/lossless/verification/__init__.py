"""The reference that results are compared with: losses from their definitions, exact rounding.

Nothing here comes from the kernels or the formulas: `lossless verify` and the tests depend on it.
"""
