"""The loop's own share of the quick start's step: what its thread takes of the processor, and when nothing is computed.

python benchmarks/loop.py

A run of the quick start, with its data, its logging and its report of every step. From step 20 to 60 the clocks of the
loop's thread and of the whole process are read; from 70 to 90 JAX's profiler looks on (without Python's own tracer,
which would slow the loop down), and the gaps between one step's computation and the next one's are added up.
"""

import argparse
import pathlib
import runpy
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import machine
from jax.profiler import ProfileData

from mtljax.train.run import loop, steps

QUICKSTART = pathlib.Path(__file__).parent.parent / "configs" / "quickstart.py"
TIMED, TRACED = (20, 60), (70, 90)
EXECUTION = "ThunkExecutor::Execute (wait for completion)"  # of a program, in the traces of XLA's CPU backend
clocks: dict[int, tuple[float, float, float]] = {}


class Timed(steps.Profile):
    """A profile that reads the clocks before each step as well."""

    def take(self, number: int, step: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Takes a step."""
        clocks[number] = time.thread_time(), time.process_time(), time.perf_counter()
        return super().take(number, step)


def idle(trace: pathlib.Path) -> tuple[int, float]:
    """How many steps were computed in a trace, and the share of the time from the first to the last with none."""
    lines = [line for plane in ProfileData.from_file(str(trace)).planes for line in plane.lines]
    found = sorted((e.start_ns, e.end_ns) for line in lines for e in line.events if e.name == EXECUTION)
    longest = max(end - begin for begin, end in found)
    found = [(begin, end) for begin, end in found if end - begin > longest / 4]  # of steps, not of copies
    gaps, until = 0.0, found[0][1]
    for begin, end in found[1:]:
        gaps, until = gaps + max(0.0, begin - until), max(until, end)
    return len(found), gaps / (until - found[0][0])


def main() -> None:
    """Prints the figures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    config = runpy.run_path(str(QUICKSTART))["get_config"]()
    config.steps = config.eval_every = config.checkpoint_every = 100
    config.profile, config.panel_images = TRACED, 0
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    start_trace = jax.profiler.start_trace
    jax.profiler.start_trace = lambda folder: start_trace(folder, profiler_options=options)
    steps.Profile = Timed
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "run"
        loop.train(config, workdir)
        number, share = idle(next(workdir.glob("profile/**/*.xplane.pb")))
    first, last = (clocks[step] for step in TIMED)
    thread, process, wall = (b - a for a, b in zip(first, last, strict=True))
    count = TIMED[1] - TIMED[0]
    print(machine.described())
    print(f"a step: {1e3 * wall / count:.0f} ms, {1e3 * process / count:.0f} ms of the processor")
    print(f"the loop's thread: {1e3 * thread / count:.1f} ms of the processor, {thread / process:.1%} of the process's")
    print(f"nothing computed between {number} steps: {share:.1%} of the time")


if __name__ == "__main__":
    main()
