"""What importing costs: `mtljax` beyond JAX and Flax, and what a command line imports before it reads its flags.

python benchmarks/imports.py
"""

import statistics
import subprocess
import sys

import machine

CODE = "import time, jax, flax; begin = time.process_time(); import {}; print(time.process_time() - begin)"
MODULES = ("mtljax", "mtljax.train", "mtljax.cli", "mtljax.train.run.loop")


def main() -> None:
    """Prints the medians of seven fresh processes each, in seconds of the processor."""
    print(machine.described())
    for module in MODULES:
        command = [sys.executable, "-c", CODE.format(module)]
        seconds = [float(subprocess.check_output(command)) for _ in range(7)]
        print(f"import {module} after jax and flax: {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
