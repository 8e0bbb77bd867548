"""Hard arguments of the element-wise losses, drawn and judged by what knows nothing of the kernels.

`operands.py` draws: any bits, terms that lie far apart, cancel, or are ties; arguments whose result
lies next to the middle of two numbers; parameters that are any doubles, subnormal and huge ones.
`enclosure.py` encloses the results in long double, which proves nearly all right; the others are
judged exactly, by fractions and by MPFR (`exact.py`).

`make outside` tries more than the everyday tests; `make exhaustive` tries 10^8 pairs.
"""
