"""What each balancer costs, in one run: its rule on a 100,000-wide Jacobian, beside TorchJD's, and the step around it.

python benchmarks/balancers.py                  # the rules, and TorchJD's where `torchjd` is installed beside
python benchmarks/balancers.py --step           # the quick start's step with each, over that of equal()

A time is the median over turns in which everything that is compared takes its turn, in this process, on the same
matrix: three calls each, after one that is not counted, in which the other's threads go to sleep.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import machine
import numpy as np
from step import flops, prepared

import mtljax as mtl
from mtljax.balance import Balancer
from mtljax.train.config.experiment import balancer_of

WIDTH = 100_000
TASKS = (3, 11, 40)
ARGUMENTS = {
    "krum": "n_byzantine=0, n_selected=1",
    "trimmed_mean": "trim_number=1",
    "dwa": "period=2",
    "stch": "warmup=1",
}
# A balancer of ours -> how TorchJD makes its own, of torchjd.aggregation.
TORCHJD = {
    "aligned_mtl": lambda t, n: t.AlignedMTL(),
    "cagrad": lambda t, n: t.CAGrad(c=0.4),
    "config": lambda t, n: t.ConFIG(),
    "constant": lambda t, n: t.Constant(_torch().ones(n)),
    "dualproj": lambda t, n: t.DualProj(),
    "excess_mtl": lambda t, n: t.ExcessMTL(),
    "fairgrad": lambda t, n: t.FairGrad(alpha=2.0),
    "graddrop": lambda t, n: t.GradDrop(),
    "gradvac": lambda t, n: t.GradVac(),
    "imtl_g": lambda t, n: t.IMTLG(),
    "krum": lambda t, n: t.Krum(n_byzantine=0, n_selected=1),
    "mean": lambda t, n: t.Mean(),
    "mgda": lambda t, n: t.MGDA(),
    "nash_mtl": lambda t, n: t.NashMTL(n_tasks=n),
    "pcd": lambda t, n: t.PCD(),
    "pcgrad": lambda t, n: t.PCGrad(),
    "random_direction": lambda t, n: t.Random(),
    "sum": lambda t, n: t.Sum(),
    "trimmed_mean": lambda t, n: t.TrimmedMean(trim_number=1),
    "upgrad": lambda t, n: t.UPGrad(),
}


def _torch() -> Any:
    import torch

    return torch


def methods() -> list[str]:
    """The names of all methods."""
    made = {n: getattr(mtl.balance, n) for n in mtl.balance.__all__}
    named = [n for n, f in made.items() if getattr(f, "__annotations__", {}).get("return") is Balancer]
    return [name for name in named if name not in ("compose", "from_rule", "from_jacobian_rule")]


def ours(name: str, jacobian: np.ndarray, losses: np.ndarray) -> tuple[Callable[[], None], float]:
    """A call of a balancer's compiled update, and its FLOPs."""
    balancer = balancer_of(f"{name}({ARGUMENTS.get(name, '')})", len(jacobian), seed=0)
    params = jax.numpy.zeros(jacobian.shape[1])
    state = balancer.init(params)
    on_device, losses = jax.device_put((jacobian, losses))
    update = jax.jit(balancer.update)

    def call() -> None:
        jax.block_until_ready(update(on_device, state, params, losses=losses))

    return call, flops(update.lower(on_device, state, params, losses=losses).compile())


def theirs(name: str, jacobian: np.ndarray) -> Callable[[], None] | None:
    """A call of TorchJD's aggregator, or None where it has none or cannot make it here."""
    try:
        from torchjd import aggregation
    except ImportError:
        return None
    try:
        aggregator, matrix = TORCHJD[name](aggregation, len(jacobian)), _torch().tensor(jacobian)
    except (KeyError, AttributeError, ImportError, TypeError):
        return None

    def call() -> None:
        aggregator(matrix)
        if matrix.is_cuda:
            _torch().cuda.synchronize()

    return call


def medians(
    calls: dict[str, Callable[[], None]], turns: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds of each call by a clock, over turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 2):
        for name, call in calls.items():
            call()
            for _ in range(3 if turn >= 2 else 0):
                begin = clock()
                call()
                times[name].append(clock() - begin)
    return {name: statistics.median(found) for name, found in times.items()}


def rules(turns: int, chosen: list[str], clock: Callable[[], float]) -> None:
    """Prints a table of the rules."""
    for number in TASKS:
        rng = np.random.default_rng(0)
        jacobian = rng.normal(size=(number, WIDTH)).astype(np.float32) + rng.normal(size=WIDTH).astype(np.float32) * 0.1
        losses = np.linspace(1.0, 2.0, number, dtype=np.float32)
        print(f"\nT = {number}, {WIDTH:,} wide\n{'method':<18}{'MFLOP':>10}{'us':>10}{'TorchJD us':>12}{'ratio':>8}")
        for name in chosen:
            call, count = ours(name, jacobian, losses)
            other = theirs(name, jacobian)
            found = medians({"ours": call} | ({} if other is None else {"theirs": other}), turns, clock)
            line = f"{name:<18}{count / 1e6:>10.2f}{found['ours'] * 1e6:>10.0f}"
            if other is not None:
                line += f"{found['theirs'] * 1e6:>12.0f}{found['ours'] / found['theirs']:>8.2f}"
            print(line, flush=True)


def steps(turns: int, chosen: list[str]) -> None:
    """Prints a table of the quick start's step with each balancer."""
    print(f"{'balance, measure':<34}{'FLOPs / equal()':>16}{'time / equal()':>16}")
    variants = [("equal()", "shared")]
    for name in chosen:
        balancer = balancer_of(name, 4, seed=0)
        if balancer.samples == 1:  # a batch of 8 is not to be split in 3
            measures = ("shared",) if balancer.sees == "losses" else balancer.measures
            variants += [(f"{name}({ARGUMENTS.get(name, '')})", measure) for measure in measures]
    base: tuple[Callable[[], None], float] | None = None
    for variant in variants:
        parts, optax_tx, state = prepared(*variant)
        batch = parts.spread.place_batch(next(parts.train_batches()))
        step = parts.train_step(optax_tx)
        compiled = step.lower(state, batch).compile()
        held = [state]

        def call(compiled: Any = compiled, step: Any = step, held: list[Any] = held, batch: Any = batch) -> None:
            held[0], report = compiled(held[0], batch, step.noise)
            jax.block_until_ready(report)

        base = base or (call, flops(compiled))
        found = medians({"this": call, "equal": base[0]}, turns)
        label = ", ".join(variant)
        print(f"{label:<34}{flops(compiled) / base[1]:>16.3f}{found['this'] / found['equal']:>16.2f}", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--busy", action="store_true", help=f"of the rules, {machine.BUSY}")
    parser.add_argument("--methods", default="", help="names with commas between them; all by default")
    arguments = parser.parse_args()
    chosen = arguments.methods.split(",") if arguments.methods else methods()
    clock = machine.clock_of(arguments.busy)
    print(f"{machine.described()}; load {os.getloadavg()[0]:.1f}")
    if arguments.step:
        steps(arguments.turns, chosen)
    else:
        rules(arguments.turns, chosen, clock)


if __name__ == "__main__":
    main()
