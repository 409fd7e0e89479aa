"""Several processes on one machine, joined as several hosts are: the numbers of one."""

import re
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.studies.comparison.board import Board
from mtljax.studies.comparison.notes import Outcome
from mtljax.studies.comparison.plan import Job
from mtljax.studies.comparison.told import Told
from mtljax.train.config import default, experiment
from mtljax.train.config.checks import fit
from mtljax.train.run import config_file, evaluate
from mtljax.train.run.start import newest
from mtljax.train.run.workdir import sole_use
from mtljax.train.spread import hosts, parallel
from tests import runs
from tests.data.sources.objects import write_sequence
from tests.frames import tilted, write_folder
from tests.runs import CONFIG, WAIT, last_step, lines, wait_for
from tests.several import together


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("frames") / "frames", 20, tilted)


@pytest.fixture(scope="module")
def start(frames, compiled):
    """Starts `launch.py` in a number of processes; returns them."""

    def run(workdir, number, *arguments, devices=1):
        # Adam would make round-off of near-zero gradients as large as any step.
        gentle = [f"--config.optimizers.{group}=sgd(1e-3)" for group in ("shared", "depth", "normals")]
        config = f"{CONFIG}:{frames}"
        return runs.start(compiled, config, workdir, *gentle, *arguments, processes=number, devices=devices)

    return run


def outputs(processes, status=0):
    found = [process.communicate(timeout=WAIT) for process in processes]
    for process, (out, err) in zip(processes, found, strict=True):
        assert process.returncode == status, out + err
    return found


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        if key.startswith("balance/"):  # quotients of gradients, less well conditioned
            assert b[key] == pytest.approx(a[key], rel=2e-2, abs=5e-3), key
        elif key.split("/")[-1] not in ("time", "wait_share", "split"):
            assert b[key] == pytest.approx(a[key], rel=1e-3, abs=1e-5), key


@pytest.fixture(scope="module")
def alone(start, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone") / "run"
    outputs(start(workdir, 1, "--config.steps=12"))
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "parallel"), [(1, "pmap"), (2, "mesh(data=1, fsdp=4, smallest=8)")], ids=["pmap", "fsdp"]
)
def test_processes_together_give_the_numbers_of_one(start, alone, tmp_path, devices, parallel):
    """With parts of parameters on both, and on both devices of each, in the second; their tracks are of `mesh(data=-1)`."""
    arguments = ["--config.steps=12", f"--config.parallel={parallel}"]
    found = outputs(start(tmp_path / "run", 2, *arguments, devices=devices))
    assert "workdir:" in found[0][0]
    others = [line for out, _ in found[1:] for line in out.splitlines() if not line.startswith("[Gloo]")]
    assert others == []
    for split in ("train", "validation", "constant"):
        expected, together = lines(alone, split), lines(tmp_path / "run", split)
        assert len(expected) == len(together)
        for a, b in zip(expected, together, strict=True):
            assert_same(a, b)
    assert (tmp_path / "run" / "panel.png").stat().st_size > 1000


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Two sequences of three objects each that go at speeds of their own, and meet."""
    root = tmp_path_factory.mktemp("streets") / "train"
    for number, name in enumerate("AB"):
        rows = [
            f"{frame},{one},{2 + (5 * one + (3 + 2 * one + number) * frame) % 30},{1 + 5 * one},8,8,1,1,1"
            for frame in range(1, 15)
            for one in range(1, 4)
        ]
        write_sequence(root / name, rows, length=14)
    return root


def of_one(workdir):
    """The figures of a run's last state and those to beat, as this process finds them by itself."""
    config = config_file.get_config(str(workdir))
    config.parallel = "mesh(data=1)"
    parts = experiment.build(default.checked(config))
    state, figures = newest(parts, workdir).state, evaluate.evaluator(parts)
    told = {k: -1 if np.isnan(x) else x for k, x in evaluate.figures_to_beat(parts, fit(parts), figures, state).items()}
    return figures(state), told


@pytest.mark.slow
def test_clips_that_processes_read_in_turns_make_the_tracks_of_one(streets, compiled, tmp_path):
    """Each step from a frame to the next is a clip: a sequence is joined from what both processes have found of it."""
    outputs(runs.start(compiled, f"tests/objects_config.py:{streets}", tmp_path / "run", processes=2))
    validation, constant = (lines(tmp_path / "run", split)[-1] for split in ("validation", "constant"))
    found, baselines = of_one(tmp_path / "run")
    # In frames of one colour peaks are of equal height: rounding tells which come first for `detect` untrained.
    judged = {key: x for key, x in found.items() if not key.startswith("detect/") or key == "detect/loss"}
    assert_same(judged, {key: validation[key] for key in judged})
    assert_same(
        baselines, {key: -1 if constant[key] is None else constant[key] for key in baselines}
    )  # -1 as COCO has it
    assert 0 < found["track/HOTA"] < found["track/DetA"] == 1
    assert found["track/IDSW"] >= 3


SPLIT = """
import sys
import jax, numpy as np
from mtljax.train.spread import hosts, parallel

hosts.join(sys.argv[1], 2, int(sys.argv[2]))
spread = parallel.mesh(fsdp=2, smallest=4)
state = spread.place_state({"w": np.arange(16.0).reshape(4, 4), "b": np.ones(3), "step": np.int32(7)})
assert not state["w"].is_fully_replicated
print(*(f"{name} {x.dtype} {np.sum(x):g} {x.shape}" for name, x in hosts.whole(state).items()), sep="; ")
"""


@pytest.mark.slow
def test_what_is_split_over_processes_is_whole_on_each(compiled):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    options = {"env": runs.environment(compiled), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", SPLIT, place, str(i)], **options) for i in range(2)]
    for out, _ in outputs(processes):
        assert out.splitlines()[-1] == "b float32 3 (3,); step int32 7 (); w float32 120 (4, 4)"


def test_arrays_of_one_process_are_whole_as_they_are():
    found = hosts.whole({"w": jnp.ones((2, 3)), "b": np.zeros(2)})
    assert {type(x) for x in found.values()} == {np.ndarray}
    assert found["w"].shape == (2, 3)


def test_several_processes_share_all_devices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match="takes 2 of 8 devices; expected all"):
        parallel.mesh(data=1, fsdp=2).train(lambda state, batch: (state, {}))


def test_how_runs_ended_is_known_by_the_first_process_and_told_to_all(tmp_path):
    first, second = Told(Board(tmp_path, []), lambda: ""), Told(Board(tmp_path, []), lambda: "")
    job = Job("balance", "equal()", 0, "equal")
    first._board.jobs, first._board.ended = [job], {job: Outcome("failed", "no")}
    assert together(first.end, second.end) == [1, 1]
    first._board.ended = {job: Outcome("held", "by another")}
    found = together(first.end, second.end)
    assert [str(error).split("\n")[-1] for error in found] == ["  equal(), seed 0: by another"] * 2
    assert {type(error) for error in found} == {UserError}


@pytest.mark.slow
def test_what_happens_to_one_process_stops_all_and_one_process_can_go_on(start, tmp_path):
    workdir = tmp_path / "run"
    endless = ["--config.steps=20000", "--config.eval_every=100000", "--config.panel_images=0"]
    processes = start(workdir, 2, *endless)
    wait_for(processes[0], workdir, 3)
    processes[1].send_signal(signal.SIGTERM)
    found = outputs(processes)
    [saved] = re.findall(r"SIGTERM: saved step (\d+)", found[0][0])
    assert int(saved) < 20000
    processes = start(workdir, 2, *endless)
    wait_for(processes[0], workdir, int(saved) + 2)
    processes[1].kill()
    out, err = processes[0].communicate(timeout=WAIT)
    processes[1].communicate()
    assert processes[0].returncode == 3, out + err
    assert f"resuming {workdir} at step {saved}" in out
    assert "launch.py: error: lost contact with another process" in err
    goal = last_step(workdir) + 2
    [(out, _)] = outputs(start(workdir, 1, *endless, f"--config.steps={goal}", "--allow_config_change"))
    [step] = re.findall(r"resuming \S+ at step (\d+)", out)
    assert int(saved) <= int(step) <= goal
    assert lines(workdir, "validation")[-1]["step"] == goal


@pytest.mark.slow
def test_a_workdir_in_use_ends_all_processes_with_one_error(start, tmp_path):
    with sole_use(tmp_path / "run"):
        (_, first), (_, second) = outputs(start(tmp_path / "run", 2), status=2)
    assert re.search(r"error: workdir '\S+' is in use by another run", first)
    assert re.search(r"error: process 0 of this run: workdir '\S+' is in use by another run", second)


@pytest.mark.slow
def test_a_mistake_on_one_process_ends_the_other_soon(frames, compiled, tmp_path):
    """In what a host is given, with one error; later, at once, so that the other sees that it is gone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        together = [f"--coordinator=127.0.0.1:{free.getsockname()[1]}", "--num_processes=2", "--config.steps=4"]

    def launched(workdir, *arguments):
        given = [[], list(arguments)]
        return [
            runs.launch(
                compiled, *together, f"--workdir={workdir}", f"--process_id={i}", *more, config=f"{CONFIG}:{frames}"
            )
            for i, more in enumerate(given)
        ]

    lacking = tmp_path / "no" / "frames"
    (_, first), (_, second) = outputs(launched(tmp_path / "run", f"--config.data=rgbd('{lacking}')"), status=2)
    assert f"launch.py: error: process 1 of this run: rgbd folder '{lacking}' does not exist." in first
    assert f"launch.py: error: rgbd folder '{lacking}' does not exist." in second
    (tmp_path / "full" / "metrics.jsonl").mkdir(parents=True)  # where the first alone writes
    begin = time.monotonic()
    processes = launched(tmp_path / "full")
    ended = [process.communicate(timeout=WAIT)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 3]
    assert "metrics.jsonl': Is a directory" in ended[0]
    assert "lost contact with another process" in ended[1]
    assert time.monotonic() - begin < 100  # after which JAX ends processes that hear of no other


OWN = """
import dataclasses
import jax
from mtljax import tasks

def faulty():
    made, seen = tasks.normals(), []

    def value(sums):
        seen.append(sums)
        assert jax.process_index() == 0 or len(seen) < 2, "red"  # not in the checks, but at the first evaluation
        return made.metrics[0].value(sums)

    return dataclasses.replace(made, metrics=(dataclasses.replace(made.metrics[0], value=value), *made.metrics[1:]))
"""


@pytest.mark.slow
def test_an_error_in_ones_own_code_on_one_process_ends_the_other(start, tmp_path):
    """The other waits at the next exchange; it did so without end."""
    (tmp_path / "own_fault.py").write_text(OWN)
    own = [f"--config.modules={tmp_path}", "--config.tasks.normals=own_fault:faulty()"]
    processes = start(tmp_path / "run", 2, *own, "--config.steps=8", "--config.eval_every=2")
    ended = [process.communicate(timeout=WAIT)[1] for process in processes]
    assert "lost contact with another process" in ended[0]
    assert re.search(r"error in your code: AssertionError: red \(\S+own_fault.py, line \d+, in value", ended[1])
    assert [process.returncode for process in processes] == [3, 2]


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "t1k-0,t1k-1"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}, True),
    ],
)
def test_several_processes_are_told_by_their_environment(environment, several):
    assert hosts.announced(environment) is several


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "a:1"}, "go together"),
        ({"num_processes": 2, "process_id": 0}, "go together"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 2}, r"process_id=2: expected 0 to 1"),
    ],
)
def test_misuse_gets_one_clear_message(arguments, message):
    with pytest.raises(UserError, match=message):
        hosts.join(**arguments)
