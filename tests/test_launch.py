"""`launch.py` as its users run it: child processes, real signals, real kills."""

import json
import os
import pathlib
import re
import runpy
import shutil
import signal
import sys

import numpy as np
import pytest
from PIL import Image

from tests import runs
from tests.frames import slanted, write_folder
from tests.runs import CONFIG, WAIT, lines

STEPS = 20
SHORT = [f"--config.steps={STEPS}", "--config.eval_every=15", "--config.checkpoint_every=5"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("launch")


@pytest.fixture(scope="module")
def frames(base):
    """Twenty frames of slanted planes: sixteen to train on, four held out."""
    return write_folder(base / "frames", 20, slanted)


@pytest.fixture(scope="module")
def launch(compiled, frames):
    def run(*arguments, config=f"{CONFIG}:{frames}", **kwargs):
        return runs.launch(
            compiled, *(SHORT if config == f"{CONFIG}:{frames}" else ()), *arguments, config=config, **kwargs
        )

    return run


@pytest.fixture(scope="module")
def finished(launch):
    def run(*arguments, status=0, **kwargs):
        return runs.finish(launch(*arguments, **kwargs), status)

    return run


@pytest.fixture(scope="module")
def whole(base, finished):
    """The workdir of an uninterrupted run, started as users do, and what it printed."""
    workdir = base / "whole"
    return workdir, *finished(f"--workdir={workdir}", fresh=True)


def without_time(workdir):
    return [{k: v for k, v in line.items() if k not in ("time", "input/wait_share")} for line in lines(workdir)]


def assert_same_run(a, b, steps=STEPS):
    """Bit by bit: parameters, batch statistics, optimisers, balancer; and every figure written."""
    first, second = runs.state(a, steps), runs.state(b, steps)
    assert first.keys() == second.keys()
    assert any("batch_stats" in key for key in first)
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)
    assert without_time(a) == without_time(b)


def stopped(process, workdir, step, number):
    """Sends a signal to a run without end once it has told of a step; returns the step it saved, and what it printed."""
    runs.wait_for(process, workdir, step)
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT)
    [saved] = re.findall(rf"{signal.Signals(number).name}: saved step (\d+)", out) or [out + err]
    return int(saved), out


def test_what_a_run_leaves(whole):
    workdir, out, err = whole
    names = {path.name for path in workdir.iterdir()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "inputs.json",
        "run.json",
        "checkpoints",
        "checkpoints.crc32.json",
        "tensorboard",
        "panel.png",
    }
    assert json.loads((workdir / "config.json").read_text())["steps"] == STEPS
    train = lines(workdir, "train")
    assert [line["step"] for line in train] == list(range(1, STEPS + 1))
    for line in lines(workdir):
        assert list(line)[:3] == ["step", "split", "time"]
    wanted = {"depth/loss", "normals/loss", "balance/weight/depth", "balance/cosine/depth/normals"}
    assert wanted <= train[-1].keys()
    [first, last] = lines(workdir, "validation")
    assert (first["step"], last["step"]) == (15, STEPS)
    assert {"depth/loss", "depth/AbsRel", "normals/mean_angle"} <= last.keys()
    assert len(lines(workdir, "constant")) == 1
    assert list((workdir / "tensorboard").iterdir())
    with Image.open(workdir / "panel.png") as panel:
        assert len({panel.getpixel((x, panel.height * 3 // 4)) for x in range(panel.width)}) > 20
    assert re.search(r"depth +AbsRel \(down\) +0\.\d+ +0\.\d+ +\w+", out)
    assert out.count(f"workdir: {workdir}") == 2
    # A slow machine takes seconds a step, a fast one steps a second.
    rate = r"(step/s|s/step)"
    assert re.search(rf"{STEPS}/{STEPS} \[.*<.*{rate}, depth=[\d.]+, normals=", err), (
        "a progress bar with time left and losses"
    )


def test_training_lowers_the_losses(whole):
    train = lines(whole[0], "train")
    for task in ("depth", "normals"):
        first, last = (np.mean([line[f"{task}/loss"] for line in part]) for part in (train[:5], train[-5:]))
        assert last < 0.5 * first


@pytest.mark.slow  # a run that is stopped and goes on within one process is tested by its record
def test_sigterm_saves_and_the_run_that_goes_on_ends_bit_equal(whole, base, launch, finished):
    workdir = base / "terminated"
    process = launch(f"--workdir={workdir}", "--config.steps=1000000")
    saved, _ = stopped(process, workdir, 3, signal.SIGTERM)
    assert process.returncode == 0
    assert saved >= 3
    assert (workdir / "checkpoints" / str(saved)).is_dir()
    steps, alone = STEPS, whole[0]
    if saved >= STEPS:  # the test was not given its turn for long
        steps, alone = saved + 1, base / "alone"
        finished(f"--workdir={alone}", f"--config.steps={steps}")
    out, _ = finished(f"--workdir={workdir}", f"--config.steps={steps}", "--allow_config_change")
    assert f"resuming {workdir} at step {saved}" in out
    assert_same_run(workdir, alone, steps)


def handles(process, number):
    """Whether a process has a handler of its own for a signal, as Linux tells."""
    [caught] = re.findall(r"^SigCgt:\s*(\w+)", (pathlib.Path("/proc") / str(process.pid) / "status").read_text(), re.M)
    return int(caught, 16) >> (number - 1) & 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_signal_while_it_starts_ends_it_at_once(base, launch):
    process = launch(f"--workdir={base / 'not-begun'}", fresh=True)
    while not handles(process, signal.SIGTERM):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, err
    assert out == "\nSIGTERM: left before anything was begun.\n"
    assert not (base / "not-begun").exists()


@pytest.mark.parametrize(("mode", "status"), [("predict", 143), ("report", 143), ("eval", 143), ("train", 0)])
def test_a_signal_at_the_start_is_no_success_where_figures_or_files_were_wanted(mode, status, monkeypatch):
    for words in ([f"--mode={mode}"], ["--mode", mode]):
        monkeypatch.setattr(sys, "argv", ["launch.py", *words])
        assert runpy.run_path("launch.py", run_name="imported")["_STATUS"][signal.SIGTERM] == status


@pytest.mark.slow
def test_evaluating_a_run_that_goes_on_disturbs_neither(base, launch, finished):
    workdir = base / "live"
    # It saves after every step, so that one is in flight at nearly any moment.
    process = launch(
        f"--workdir={workdir}", "--config.steps=1000000", "--config.checkpoint_every=1", "--config.eval_every=1000000"
    )
    try:
        runs.wait_for(process, workdir, 3)
        out, err = finished("--mode=eval", f"--workdir={workdir}", config=None)
        assert "cannot be read" not in err
        assert json.loads(out.splitlines()[-1])["step"] >= 1
    except BaseException:
        process.kill()
        raise
    saved, _ = stopped(process, workdir, 3, signal.SIGINT)  # which saves as SIGTERM does
    assert process.returncode == 130
    assert (workdir / "checkpoints" / str(saved)).is_dir()


@pytest.mark.slow
def test_a_truncated_newest_checkpoint_is_told_and_the_one_before_taken(whole, base, finished):
    workdir = base / "truncated"
    shutil.copytree(whole[0], workdir)
    for file in (workdir / "checkpoints" / str(STEPS)).rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)
    out, err = finished(f"--workdir={workdir}")
    assert f"{workdir}/checkpoints/{STEPS} cannot be read" in err
    assert f"resuming {workdir} at step 15" in out
    found, wanted = runs.state(workdir, STEPS), runs.state(whole[0], STEPS)
    assert all((found[key] == wanted[key]).all() for key in wanted)


@pytest.mark.slow
def test_a_run_is_repeated_from_its_config_alone(whole, base, finished):
    finished(f"--workdir={base / 'again'}", config=f"configs/from_workdir.py:{whole[0]}")
    assert_same_run(base / "again", whole[0])


@pytest.mark.slow
def test_evaluation_ends_with_one_json_object(whole, finished):
    workdir, _, _ = whole
    (workdir / "panel.png").unlink()
    out, _ = finished("--mode=eval", f"--workdir={workdir}", config=None, fresh=True)
    figures = json.loads(out.splitlines()[-1])
    last = lines(workdir, "validation")[-1]
    assert figures == {k: v for k, v in last.items() if k not in ("split", "time")}
    assert (workdir / "panel.png").exists()


@pytest.mark.slow
def test_choices_and_parts_of_ones_own_are_flags(base, frames, finished):
    (base / "modules").mkdir()
    (base / "modules" / "of_mine.py").write_text(
        "import mtljax as mtl\nfrom mtljax.data import rgbd as frames\n\n"
        "def narrow(levels):\n    return mtl.encoders.UNet(width=4, levels=levels, norm='batch')\n"
    )
    with_modules = {"shell": ("env", f"PYTHONPATH={base / 'modules'}")}
    named = [f"--config.data=of_mine:frames({str(frames)!r})", "--config.model=MultiTask(encoder=of_mine:narrow(0))"]
    workdir = f"--workdir={base / 'own'}"
    chosen = [
        "--config.balance=gradnorm(alpha=1.0)",
        "--config.optimizers.depth=sgd(cosine_decay_schedule(1e-2, steps), momentum=0.9)",
        "--config.measure=features",
        "--config.parallel=pmap",
        "--config.seed=5",
    ]
    finished(workdir, "--config.steps=2", *chosen, *named, **with_modules)
    config = json.loads((base / "own" / "config.json").read_text())
    assert config["balance"] == "gradnorm(alpha=1.0)"
    assert config["optimizers"]["depth"].startswith("sgd(")
    assert (config["measure"], config["parallel"], config["seed"]) == ("features", "pmap", 5)
    out, _ = finished("--mode=eval", workdir, config=None)  # which finds the module where the run has found it
    assert json.loads(out.splitlines()[-1])["step"] == 2
    (base / "modules").rename(base / "elsewhere")
    _, err = finished("--mode=eval", workdir, config=None, status=2)
    assert "there is no module 'of_mine' on Python's path" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_evaluation_on_other_data(whole, frames, finished):
    data = f"rgbd({str(frames)!r}, validation=0.5)"
    out, _ = finished("--mode=eval", f"--workdir={whole[0]}", f"--config.data={data}", config=None)
    figures = json.loads(out.splitlines()[-1])
    assert figures["step"] == STEPS
    assert figures["depth/AbsRel"] != lines(whole[0], "validation")[-1]["depth/AbsRel"]


@pytest.fixture(scope="module")
def three_steps(base, finished):
    """Runs three steps of gradient descent: Adam, dividing by roots of squares, would enlarge rounding at once."""

    def run(name, *flags):
        descent = (f"--config.optimizers.{group}=sgd(1e-2)" for group in ("shared", "depth", "normals"))
        finished(f"--workdir={base / name}", "--config.steps=3", "--config.eval_every=3", *descent, *flags)
        return lines(base / name, "train")

    return run


@pytest.fixture(scope="module")
def one_device(three_steps):
    return three_steps("one-device")


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["pmap", "mesh(data=-1)"])
def test_eight_simulated_devices_give_the_numbers_of_one(one_device, three_steps, parallel):
    spread = three_steps(f"eight-{parallel}", "--simulate_devices=8", f"--config.parallel={parallel}")
    assert len(spread) == len(one_device) == 3
    for one, eight in zip(one_device, spread, strict=True):
        for key in ("depth/loss", "normals/loss", "balance/cosine/depth/normals"):
            np.testing.assert_allclose(eight[key], one[key], rtol=1e-4, atol=1e-4, err_msg=f"step {one['step']} {key}")
