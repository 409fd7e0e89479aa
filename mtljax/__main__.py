"""`mtljax` and `python -m mtljax`, which are what `launch.py` is: see `mtljax.cli`."""

import sys

from mtljax import cli


def main() -> int:
    """Runs the command line that this process was started with; returns the exit status."""
    return cli.main(["mtljax", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
