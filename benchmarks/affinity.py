"""What the affinities of a running training cost, in ratios of one run: CPU time and FLOPs, on the quick start's step.

python benchmarks/affinity.py

Every variant runs in this process, in turns, on the same batch; a ratio is that of the medians over the turns. With
`affinity_every=10` a step costs a tenth of a measurement more; a method that sees the gradients of shared parameters
has the first order of its own step (`affinity_step=0`).
"""

import argparse
import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import machine

from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.run.start import start

QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.py"
EVERY = 10
EQUAL, METHOD, TOLD = "equal()", "pcgrad()", "pcgrad(), first order told"
EXACT, FIRST = "exact and first order, beside", "first order alone, beside"
# Name -> balancer, affinity_every, affinity_step, whether it is the measurement beside the step.
VARIANTS = {
    EQUAL: ("equal()", 0, 0.01, False),
    EXACT: ("equal()", EVERY, 0.01, True),
    FIRST: ("equal()", EVERY, 0.0, True),
    METHOD: ("pcgrad()", 0, 0.01, False),
    TOLD: ("pcgrad()", EVERY, 0.0, False),
}


def prepared(balance: str, every: int, h: float, beside: bool) -> tuple[Callable[[], None], Callable[[], float]]:
    """A call that works once, and one that tells XLA's FLOPs of that, known after the first."""
    config = runpy.run_path(str(QUICKSTART))["get_config"]()
    config.balance, config.affinity_every, config.affinity_step = balance, every, h
    config.parallel = "mesh(data=1)"
    parts = experiment.build(checked(config))
    fitted = checks.fit(parts)
    batch = parts.spread.place_batch(next(parts.train_batches()))
    state: Any = start(parts, fitted)[0]
    step, look = parts.train_step(fitted.optimizer), parts.affinity()

    def work() -> None:
        nonlocal state
        if beside:
            assert look is not None
            jax.block_until_ready(look(state, batch))
        else:
            state, report = step(state, batch)
            jax.block_until_ready((state, report))

    return work, lambda: float(parts.programs["affinity" if beside else "train"].flops or 0)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=60)
    turns = parser.parse_args().turns
    variants = {name: prepared(*variant) for name, variant in VARIANTS.items()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(turns + 2):
        for name, (work, _) in variants.items():
            begin = time.process_time()
            work()
            if turn >= 2:
                times[name].append(time.process_time() - begin)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    flops = {name: count() for name, (_, count) in variants.items()}
    print(machine.described())
    print(f"{'what':<30} {'CPU ms':>8} {'time / equal()':>15} {'FLOPs / equal()':>16} {'time / FLOPs':>13}")
    for name in variants:
        spent, counted = seconds[name] / seconds[EQUAL], flops[name] / flops[EQUAL]
        print(f"{name:<30} {1e3 * seconds[name]:8.1f} {spent:15.3f} {counted:16.3f} {spent / counted:13.3f}")
    for name in (EXACT, FIRST):
        spent, implied = (1 + each[name] / each[EQUAL] / EVERY for each in (seconds, flops))
        print(f"{name}, every {EVERY}th step: time {spent:.3f}, FLOPs {implied:.3f}, ratio {spent / implied:.3f}")
    spent, implied = seconds[TOLD] / seconds[METHOD], flops[TOLD] / flops[METHOD]
    print(f"first order told by pcgrad(): time {spent:.3f}, FLOPs {implied:.5f}")


if __name__ == "__main__":
    main()
