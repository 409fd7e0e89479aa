"""Injects what happens to long runs into runs of `launch.py`, and prints what became of each, as a table.

python -m tests.soak --kills 30
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import re
import shutil
import signal
import tempfile
import time

import numpy as np

from tests import runs
from tests.frames import tilted, write_folder

BATCH = 8
GENTLE = [f"--config.optimizers.{group}=sgd(1e-3)" for group in ("shared", "depth", "normals")]


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of a fault: how often it was injected and survived, and how many examples it cost."""

    fault: str
    injected: int
    survived: int
    lost: int
    note: str = ""

    def __str__(self) -> str:
        return f"| {self.fault} | {self.injected} | {self.survived} | {self.lost} | {self.note} |"


class Soak:
    """Runs on one folder of frames, with programs compiled once for all of them."""

    def __init__(self, folder, steps=60, compiled=None):
        self.folder, self.steps, self.compiled = folder, steps, compiled or folder / "compiled"
        self.frames = write_folder(folder / "frames", 20, tilted)

    def start(self, workdir, *arguments, config=runs.CONFIG, processes=1):
        """A run that saves after every other step, so that a kill often falls into a save."""
        often = ["--config.checkpoint_every=2", "--config.eval_every=1000", f"--config.steps={self.steps}"]
        config = f"{config}:{self.frames}"
        children = runs.start(self.compiled, config, workdir, *often, *arguments, processes=processes)
        return children if processes > 1 else children[0]

    def finish(self, workdir, *arguments, status=0, **kwargs):
        """Runs to the end; returns what was printed."""
        return runs.finish(self.start(workdir, *arguments, **kwargs), status)

    def alone(self, *arguments):
        """The workdir of a run left alone."""
        workdir = self.folder / f"alone{len(arguments)}"
        if not workdir.exists():
            self.finish(workdir, *arguments)
        return workdir

    def ends_as_alone(self, workdir):
        """Whether a run ended with the same bits as one that was left alone."""
        first, second = runs.state(self.alone(), self.steps), runs.state(workdir, self.steps)
        return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def killed(soak, kills, seed=0):
    """SIGKILL at random moments: some while a run starts, most at a random step, where every other one saves."""
    rng, done, ended, unlike, saving = random.Random(seed), 0, 0, 0, 0
    while True:
        workdir = soak.folder / f"killed{ended}"
        child = soak.start(workdir)
        if done < kills and _reached_a_moment(child, workdir, soak.steps, rng):
            saving += any((workdir / "checkpoints").glob("*tmp*"))
            child.kill()
            child.communicate()
            done += 1
            continue
        runs.finish(child)
        ended += 1
        unlike += not soak.ends_as_alone(workdir)
        if done == kills:
            return Row("SIGKILL at a random moment", kills, kills if not unlike else 0, 0,
                       f"{saving} of them while a checkpoint was written; {ended} runs ended, bit-equal")  # fmt: skip


def _reached_a_moment(child, workdir, steps, rng):
    """Waits for a moment to kill a run at; False where it ends first."""
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, 10))
    else:
        told = runs.last_step(workdir)
        if told + 1 < steps:
            runs.wait_for(child, workdir, rng.randint(told + 1, min(steps - 1, told + 12)))
            time.sleep(rng.uniform(0, 0.2))
    return child.poll() is None


def signalled(soak):
    """SIGTERM and SIGINT."""
    for number, status in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        workdir = soak.folder / f"signal{number}"
        child = soak.start(workdir)
        runs.wait_for(child, workdir, 10)
        child.send_signal(number)
        out, _ = runs.finish(child, status)
        assert "the same command resumes it" in out
        soak.finish(workdir)
        assert soak.ends_as_alone(workdir)
    return Row("SIGTERM, SIGINT", 2, 2, 0, "status 0 and 130; the resumed runs ended bit-equal")


def one_of_two_killed(soak):
    """One of two processes is killed; both are started again."""
    workdir = soak.folder / "two"
    pair = soak.start(workdir, *GENTLE, processes=2)
    runs.wait_for(pair[0], workdir, 10)
    pair[1].kill()
    begin = time.monotonic()
    _, err = runs.finish(pair[0], status=3)
    waited = time.monotonic() - begin
    assert "lost contact with another process" in err
    pair[1].communicate()
    pair = soak.start(workdir, *GENTLE, processes=2)
    for child in pair:
        runs.finish(child)
    assert_same_losses(soak.alone(*GENTLE), workdir)
    return Row("one of two processes killed", 1, 1, 0, f"the other stopped after {waited:.0f} s, with status 3")


def damaged(soak):
    """The newest checkpoint cut short, emptied, or with a bit flipped."""

    def truncate(file):
        os.truncate(file, file.stat().st_size // 2)

    def empty(file):
        os.truncate(file, 0)

    def flip(file):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    kinds = (truncate, empty, flip)
    for kind in kinds:
        workdir = soak.folder / kind.__name__
        shutil.copytree(soak.alone(), workdir)
        newest = workdir / "checkpoints" / str(soak.steps)
        kind(max((f for f in newest.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size))
        out, err = soak.finish(workdir)
        assert f"{newest} cannot be read" in err, err
        assert f"at step {soak.steps - 2}" in out
        assert soak.ends_as_alone(workdir)
    return Row("newest checkpoint truncated, emptied, a bit flipped", len(kinds), len(kinds), 0,
               "named; the one before was taken; bit-equal end")  # fmt: skip


def disk_full(soak):
    """A disk that fills up while a run writes to it."""
    size = 6 << 20
    with runs.small_disk(soak.folder / "disk", size) as disk:
        if disk is None:
            return Row("disk full", 0, 0, 0, "not run: needs the right to mount a tmpfs")
        workdir = disk / "run"
        soak.finish(workdir, "--config.steps=4")
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 12))
                file.flush()
        _, err = soak.finish(workdir, "--allow_config_change", status=2)
        assert "Finished ones: [" in err or "cannot write" in err, err
        assert [p.name for p in (workdir / "checkpoints").iterdir() if p.name == "4"] == ["4"]
        filler.unlink()
        out, _ = soak.finish(workdir, "--allow_config_change")
        assert "resuming" in out
        assert soak.ends_as_alone(workdir)
    return Row("disk full, on a tmpfs of 6 MiB", 1, 1, 0, "stopped with a message; ended bit-equal once there was room")


def not_finite(soak):
    """A batch, a label, or one task's gradient that is not a number, in every epoch of two batches."""
    for fault in ("nan_image", "inf_label", "nan_gradient"):
        workdir = soak.folder / fault
        broken = ["--config.tasks.depth=broken_depth(width=4)"] if fault == "nan_gradient" else []
        _, err = soak.finish(
            workdir, f"--config.data=faulty({str(soak.frames)!r}, {fault!r})", *broken, config="tests/faulty_config.py"
        )
        assert len(re.findall("update skipped", err)) == soak.steps // 2, err
        assert runs.lines(workdir, "train")[-1]["skipped"] == soak.steps // 2
        state = runs.state(workdir, soak.steps)
        assert all(np.isfinite(v).all() for v in state.values() if v.dtype.kind == "f")
    number = 3 * soak.steps // 2
    return Row("NaN or Inf in a batch, a label, a task's gradient", number, number, number * BATCH,
               "each told and counted, its update left out")  # fmt: skip


def absent(soak):
    """A task without a label for 100 steps, and then with."""
    workdir = soak.folder / "absent"
    given = f"--config.data=faulty({str(soak.frames)!r}, 'absent')"
    soak.finish(workdir, given, "--config.steps=100", config="tests/faulty_config.py")
    assert all("depth/loss" not in line for line in runs.lines(workdir, "train"))
    soak.finish(workdir, "--config.steps=140", "--allow_config_change", config="tests/faulty_config.py")
    losses = [line["depth/loss"] for line in runs.lines(workdir, "train") if line["step"] > 100]
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.7 * losses[0]
    return Row("a task absent for 100 steps", 1, 1, 0, "no loss of it was written; it was learned once it came")


def corrupt_record(soak):
    """A training record that cannot be read."""
    workdir = soak.folder / "record"
    given = [f"--config.data=faulty({str(soak.frames)!r}, 'record')", "--config.unreadable_share=0.1"]
    _, err = soak.finish(workdir, *given, config="tests/faulty_config.py")
    assert err.count("record 5 does not decode") == 1
    assert runs.lines(workdir, "train")[-1]["input/unreadable"] == 1
    return Row("a record that does not decode", 1, 1, soak.steps // 2, "told once, and left out in every epoch")


def elsewhere(soak):
    """Begun on one device, gone on with on eight, in two other ways."""
    expected = soak.alone(*GENTLE)
    for i, parallel in enumerate(("mesh(data=2, fsdp=4, smallest=8)", "pmap")):
        workdir = soak.folder / f"elsewhere{i}"
        soak.finish(workdir, *GENTLE, "--config.steps=30")
        there = ["--allow_config_change", "--simulate_devices=8", f"--config.parallel={parallel}"]
        soak.finish(workdir, *GENTLE, *there)
        assert_same_losses(expected, workdir)
    return Row("resumed on 8 devices instead of 1, over a mesh and by pmap", 2, 2, 0, "the losses of one device")


def assert_same_losses(a, b):
    """Each step's losses agree, so that the same examples were seen."""
    first, second = runs.lines(a, "train"), runs.lines(b, "train")
    # What was killed between two checkpoints was done again: the last word counts.
    second = {line["step"]: line for line in second}
    assert sorted(second) == [line["step"] for line in first]
    for line in first:
        for key in ("depth/loss", "normals/loss"):
            np.testing.assert_allclose(second[line["step"]][key], line[key], rtol=2e-3, err_msg=str(line["step"]))


def config_changed(soak):
    """Another config in a workdir."""
    workdir = soak.folder / "changed"
    shutil.copytree(soak.alone(), workdir)
    _, err = soak.finish(workdir, "--config.seed=3", status=2)
    assert "seed: 0 there, 3 now" in err
    out, _ = soak.finish(workdir, "--config.seed=3", "--config.steps=62", "--allow_config_change")
    assert f"at step {soak.steps}" in out
    return Row("config changed between runs", 1, 1, 0, "refused with the keys; `--allow_config_change` went on")


def two_in_one_workdir(soak):
    """A second run on a workdir in use."""
    workdir = soak.folder / "twice"
    first = soak.start(workdir, "--config.steps=100000")
    try:
        runs.wait_for(first, workdir, 1)
        _, err = soak.finish(workdir, "--config.steps=100000", status=2)
    finally:
        first.kill()
        first.communicate()
    assert f"launch.py: error: workdir '{workdir}' is in use by another run" in err
    return Row("two runs in one workdir", 1, 1, 0, "the second was refused")


OTHERS = (signalled, one_of_two_killed, damaged, disk_full, not_finite, absent, corrupt_record, elsewhere,
          config_changed, two_in_one_workdir)  # fmt: skip


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="the name of one fault's function")
    arguments = parser.parse_args()
    print("| fault | injected | survived | examples lost | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(pathlib.Path(folder))
        for inject in OTHERS:
            if arguments.only in (None, inject.__name__):
                print(inject(soak), flush=True)
        if arguments.only in (None, "killed"):
            print(killed(soak, arguments.kills, arguments.seed), flush=True)


if __name__ == "__main__":
    main()
