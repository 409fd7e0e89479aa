"""What saving costs the training loop: the time of steps with saves beside them over that of steps without.

python benchmarks/checkpoint.py --steps 60 --saves 3
"""

import argparse
import pathlib
import runpy
import tempfile
import time

import jax
import machine

from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.run.checkpoint import CHECKPOINTS, Checkpoints
from mtljax.train.run.start import start

QUICKSTART = pathlib.Path(__file__).parent.parent / "configs" / "quickstart.py"


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--saves", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = experiment.build(checked(runpy.run_path(str(QUICKSTART))["get_config"]()))
        fitted = checks.fit(parts)
        state, _ = start(parts, fitted)
        step_fn = parts.train_step(fitted.optimizer)
        batch = parts.spread.place_batch(next(parts.train_batches()))
        state, report = step_fn(state, batch)  # compiles
        jax.block_until_ready(report)

        def steps(number: int) -> float:
            nonlocal state
            begin = time.perf_counter()
            for _ in range(number):
                state, report = step_fn(state, batch)
            jax.block_until_ready(report)
            return time.perf_counter() - begin

        checkpoints = Checkpoints(pathlib.Path(folder) / CHECKPOINTS, parts.config.keep_checkpoints)
        alone, beside, held = 0.0, 0.0, 0.0
        for i in range(arguments.saves):
            alone += steps(arguments.steps)
            begin = time.perf_counter()
            checkpoints.save(i + 1, parts.spread.to_disk(state), 0)
            held += time.perf_counter() - begin
            beside += steps(arguments.steps)
        checkpoints.close()
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.params))
    saves, number = arguments.saves, arguments.steps
    extra = (held + beside - alone) / saves
    each = alone / saves / number
    print(machine.described())
    print(f"parameters {size / 1e6:.1f} MB; {number} steps of {each * 1e3:.0f} ms after each of {saves} saves")
    print(f"a save holds the loop {held / saves * 1e3:.0f} ms and costs it {extra * 1e3:.0f} ms in all:")
    print(f"{extra / each:.2f} steps; {extra / (500 * each):.2%} of the 500 steps between two saves (the default)")


if __name__ == "__main__":
    main()
