"""`python -m mtljax`, which is what `launch.py` is: see `mtljax.cli`."""

import sys

from mtljax import cli

if __name__ == "__main__":
    sys.exit(cli.main([f"{__package__}", *sys.argv[1:]]))
