"""Random calls of any loss on any framework, transformed, against a loop over NumPy's results.

`programs` draws what is called (of `kinds`), `data` the arrays, `libraries` calls it, `reference`
knows what must come, `judge` compares, and `run` ties them together. `python -m fuzz` is
`make fuzz`.
"""
