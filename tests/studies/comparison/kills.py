"""A comparison that is killed again and again, and what it ends with, beside one that was left alone.

python -m tests.studies.comparison.kills --kills 20
"""

import argparse
import contextlib
import os
import pathlib
import random
import signal
import tempfile
import time

from mtljax.studies.comparison import notes
from tests import runs
from tests.studies.comparison.digits_config import write_digits

CONFIG = "tests/studies/comparison/digits_config.py"
METHODS = ("equal()", "geometric_mean()", "imtl_l()", "mean()")  # two seeds each


class Comparisons:
    """Comparisons of short runs that save often, two a method, with programs compiled once for all.

    Args:
        base: a folder for all of them.
        methods: to compare.
        steps: of each run.
        compiled: a folder of compiled programs; by default one of their own.
    """

    def __init__(self, base, methods=METHODS, steps=40, compiled=None):
        self.base, self.methods, self.steps, self.compiled = base, methods, steps, compiled or base / "compiled"
        self.digits = write_digits(base / "mnist")

    def start(self, name):
        often = [f"--config.steps={self.steps}", "--config.checkpoint_every=4", "--config.eval_every=15"]
        given = [f"--workdir={self.base / name}", "--mode=compare", f"--methods={';'.join(self.methods)}"]
        given += ["--seeds=2", "--jobs=2"]
        return runs.launch(self.compiled, *given, *often, config=f"{CONFIG}:{self.digits}")

    def figures(self, name):
        """Folder of a run -> its figures, of those that are done."""
        jobs = notes.jobs_there(self.base / name)
        return {
            job["folder"]: notes.read_json(self.base / name / job["folder"] / "run.json")["figures"]
            for job in jobs
            if job["outcome"] == "done"
        }

    def steps_told(self, name):
        """How many steps all runs have told of."""
        return sum(notes.last_step(self.base / name / job["folder"]) for job in notes.jobs_there(self.base / name))

    def alone(self):
        """The figures of a comparison that was left alone."""
        if not (self.base / "alone").exists():
            runs.finish(self.start("alone"))
        return self.figures("alone")


def killed(comparisons, kills, seed=0):
    """Kills comparisons, one after the other, at random moments; how many ended, and how many had other figures."""
    rng, expected, done, ended, unlike = random.Random(seed), comparisons.alone(), 0, 0, 0
    assert len(expected) == 2 * len(comparisons.methods)
    while True:
        name = f"killed{ended}"
        process = comparisons.start(name)
        if done < kills and _reached_a_moment(comparisons, name, process, rng):
            _kill_all(process, rng)
            done += 1
            print(f"kill {done} of {name}: {comparisons.steps_told(name)} steps told", flush=True)
            continue
        runs.finish(process)
        attempts = {job["attempts"] for job in notes.jobs_there(comparisons.base / name)}
        unlike += comparisons.figures(name) != expected or attempts != {1}
        ended += 1
        print(f"{name} ended: {unlike} of {ended} unlike one left alone", flush=True)
        if done == kills:
            return ended, unlike


def _reached_a_moment(comparisons, name, process, rng):
    """Waits for a moment to kill a comparison at, while it starts or once it trains; False where it ends first."""
    if rng.random() < 0.25:
        time.sleep(rng.uniform(0, 8))
    else:
        told = comparisons.steps_told(name)
        wanted = told + rng.randint(1, comparisons.steps)
        while process.poll() is None and comparisons.steps_told(name) < wanted:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.3))
    return process.poll() is None


def _kill_all(process, rng):
    """SIGKILL to the command and to its workers, or to the command alone, which they do not outlive."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    pids = children.read_text().split() if rng.random() < 0.5 else []
    threads = pathlib.Path(f"/proc/{process.pid}/task")
    with contextlib.suppress(OSError):
        pids += [pid for one in threads.iterdir() for pid in (one / "children").read_text().split()] if pids else []
    process.kill()
    for pid in set(pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    process.communicate()


def main():
    """Prints what became of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        ended, unlike = killed(Comparisons(pathlib.Path(folder)), arguments.kills, arguments.seed)
        print(f"{arguments.kills} kills, {ended} comparisons ended, {unlike} of them unlike one left alone; "
              f"{time.monotonic() - begin:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
