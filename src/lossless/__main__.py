"""`python -m lossless`: the command `lossless`."""

from .cli import main

if __name__ == "__main__":
    main()
