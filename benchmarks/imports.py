"""What `import mtljax` costs beyond importing JAX and Flax.

python benchmarks/imports.py
"""

import statistics
import subprocess
import sys

import machine

CODE = "import time, jax, flax; begin = time.perf_counter(); import mtljax; print(time.perf_counter() - begin)"


def main() -> None:
    """Prints the median of seven fresh processes."""
    seconds = [float(subprocess.check_output([sys.executable, "-c", CODE])) for _ in range(7)]
    print(machine.described())
    print(f"import mtljax after jax and flax: {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
