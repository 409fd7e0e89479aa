"""`mtl.fit`, as a notebook calls it: cell after cell, in a process of its own."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from mtljax.errors import UserError
from mtljax.train.config import experiment
from mtljax.train.config.default import checked
from mtljax.train.run import config_file
from tests.runs import ROOT, WAIT, environment, finish, forked, state

CELLS = """
import functools, os, pathlib, signal, sys, warnings
warnings.simplefilter("error", DeprecationWarning)
import numpy as np, optax
import mtljax as mtl
from flax import linen as nn
mtljax_run = pathlib.Path(sys.argv[1])  # an argument that is no flag of ours
# cell: data, tasks and a network of one's own
rng = np.random.default_rng(0)
image = rng.integers(0, 256, (40, 4, 4, 3), np.uint8)
light = image.mean((1, 2, 3), dtype=np.float64)
arrays = {"image": image, "light": ((light - light.mean()) / light.std()).astype(np.float32), "red": image[:, 0, 0, 0] > 127}
arrays["red"] = arrays["red"].astype(np.int32)

class Net(nn.Module):
    before: object = None

    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(8)(x.reshape(len(x), -1)))

def fails_after(examples):
    def shown(example, rng):
        shown.seen += 1
        if shown.seen > examples:
            raise FloatingPointError("the disk is tired")
        return example
    shown.seen = 0
    return mtl.data.augment.Augmentation("shown", shown)

fit = functools.partial(
    mtl.fit,
    data=arrays,
    tasks={"light": functools.partial(mtl.tasks.regress, label="light"), "red": mtl.tasks.classify(2, label="red")},
    model=Net(),
    balancer=mtl.gradnorm,
    optimizers={"shared": optax.adam(1e-2), "light": "sgd(linear_schedule(0.0, 0.12, 12))", "red": optax.adam(1e-2)},
    batch_size=8,
    panel_images=0,
    log_every=1,
    eval_every=1000,
)
# cell: an interrupt, as of the stop button, in the middle of the run
from mtljax.train.run import bar
step = bar.Bar.step
def pressed(self, count=[0]):
    step(self)
    count[0] += 1
    if count[0] == 5:
        os.kill(os.getpid(), signal.SIGINT)
bar.Bar.step = pressed
try:
    fit(workdir=mtljax_run, steps=12)
    raise AssertionError("the run went on")
except KeyboardInterrupt:
    print("cell: interrupted")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
# cell: the same again goes on
class Shown:
    def begin(self, workdir, settings): print("writer: begins", settings["steps"])
    def write(self, step, figures): self.last = figures
    def picture(self, step, name, file): pass
    def close(self): print("writer:", *sorted(self.last))
run = fit(workdir=mtljax_run, steps=12, writers=Shown(), allow_config_change=True)
print("cell: trained")
# cell: an error of one's own code
try:
    fit(workdir=mtljax_run.with_name("tired"), augment=fails_after(60), steps=1000, loader_threads=1)
    raise AssertionError("nothing failed")
except FloatingPointError as error:
    print("cell: failed", error)
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, compiled):
    """What the cells print, and where the runs are."""
    workdir = tmp_path_factory.mktemp("notebook") / "run"
    cells = workdir.with_name("cells.py")
    cells.write_text(CELLS)
    return *finish(forked(compiled, [str(cells), str(workdir)])), workdir


def test_an_interrupt_saves_and_the_same_call_goes_on(notebook):
    out, _, workdir = notebook
    assert f"SIGINT: saved step 5 in {workdir}; the same command resumes it.\ncell: interrupted\n" in out
    assert f"resuming {workdir} at step 5\n" in out.split("cell: interrupted")[1]
    assert "cell: trained" in out
    assert json.loads((workdir / "run.json").read_text())["status"] == "done"
    steps = [json.loads(line)["step"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert steps == [*range(1, 13), 12, 12], "every step is told once"
    assert "writer: begins 12\n" in out
    assert "writer: constant/light/MAE" in out


def test_learning_rates_are_written(notebook):
    lines = map(json.loads, (notebook[2] / "metrics.jsonl").read_text().splitlines())
    rates = [line.get("learning_rate/light") for line in lines if line["split"] == "train"]
    assert rates == pytest.approx([step / 100 for step in range(12)])
    [first, second] = sorted((notebook[2] / "tensorboard").iterdir())
    assert b"train/learning_rate/light" in second.read_bytes()
    assert b"speed/steps_per_second" in first.read_bytes()
    assert b"speed/seconds_left" in first.read_bytes()


def test_what_has_a_name_stands_in_the_config_and_the_rest_is_marked(notebook):
    config = json.loads((notebook[2] / "config.json").read_text())
    assert config["tasks"] == {"light": "regress(label='light')", "red": "given('Task')"}
    assert (config["balance"], config["data"], config["model"]) == ("gradnorm()", "given('Rows')", "given('Net')")
    assert config["optimizers"].keys() == {"shared", "light", "red"}


def test_an_error_leaves_a_checkpoint(notebook):
    out, err, workdir = notebook
    assert "cell: failed the disk is tired" in out
    [step] = [int(line.split()[3]) for line in err.splitlines() if line.startswith("FloatingPointError: saved step")]
    assert step > 1
    [counted] = [
        leaf for path, leaf in state(workdir.with_name("tired"), step).items() if path in ("['step']", ".step")
    ]
    assert counted == step
    assert json.loads((workdir.with_name("tired") / "run.json").read_text())["status"] == "failed"


def test_a_config_alone_says_what_only_python_can_give(notebook):
    config = checked(config_file.get_config(str(notebook[2])))
    with pytest.raises(UserError, match=r"mtl.load\(workdir, data=..., model=..., tasks=..., optimizers=...\)"):
        experiment.build(config)


ENDLESS = """
import os, pathlib, signal, sys, threading, time
import jax, numpy as np
import mtljax as mtl
from mtljax.train.run import signals, steps

compile_it, evaluates = jax.stages.Lowered.compile, steps.Loop._evaluate
def endless(*arguments, **options):
    print("compiling", flush=True)
    time.sleep(3600)  # without Python's lock, as XLA is
def evaluate(self, step):
    jax.stages.Lowered.compile = endless
    evaluates(self, step)
steps.Loop._evaluate = evaluate
signals.watch()  # as a command does
arrays = {"image": np.zeros((20, 2, 2, 3), np.uint8), "red": np.arange(20, dtype=np.int32) % 2}
options = dict(model=mtl.encoders.MLP((4,)), optimizers="adam(1e-3)", batch_size=8, panel_images=0)
mtl.fit(data=arrays, tasks={"red": "classify(2, label='red')"}, workdir=sys.argv[1], steps=4, eval_every=3, **options)
"""


@pytest.mark.slow
def test_a_command_that_compiles_saves_and_leaves_at_once(tmp_path, compiled):
    options = {"cwd": ROOT, "env": environment(compiled), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", ENDLESS, tmp_path / "run"], text=True, **options) as process:
        hangs = threading.Timer(WAIT, process.kill)
        hangs.start()
        try:
            while (line := process.stdout.readline()) not in ("compiling\n", ""):
                pass
            assert line, process.stderr.read()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
        finally:
            hangs.cancel()
            process.kill()
    assert process.returncode == 130, err
    assert f"SIGINT: saved step 3 in {tmp_path / 'run'}; the same command resumes it." in out
    assert "compiling" in err
    [saved] = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdigit()]
    assert saved == "3"
