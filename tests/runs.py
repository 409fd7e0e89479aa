"""Runs of `launch.py` as child processes, and what they leave, read back."""

import contextlib
import functools
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import warnings

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from tests import forks, quick

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = "tests/small_config.py"
WAIT = 600  # seconds that anything may take on a busy machine


def environment(compiled, devices=1):
    """Of a child: compiled quickly, and once for all children that share the folder `compiled`."""
    return os.environ | {
        "XLA_FLAGS": f"{quick.FLAGS} --xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
    }


@functools.cache
def _server(compiled):
    return forks.Server(environment(compiled))


def forked(compiled, arguments, devices=1):
    """Starts a script or a module, and what it is given, as a fork of a process that has imported what takes seconds."""
    return _server(compiled).run(arguments, environment(compiled, devices))


def launch(compiled, *arguments, config=None, shell=(), devices=1, fresh=False):
    """Starts `launch.py` as a child: forked, or afresh by a shell or where that is asked for."""
    given = ["launch.py", *([f"--config={config}"] if config else []), *arguments]
    if not (fresh or shell):
        return forked(compiled, given, devices)
    options = {"cwd": ROOT, "env": environment(compiled, devices), "text": True}
    command = [*shell, sys.executable, *forks.OPTIONS, *given]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    forks.STARTED.add(process)
    return process


def finish(process, status=0):
    """Waits for a child's end; what it has printed."""
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == status, out + err
    return out, err


def start(compiled, config, workdir, *arguments, processes=1, devices=1):
    """Starts `launch.py`: a list of children, joined on loopback where there are several."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        joined = [f"--coordinator=127.0.0.1:{free.getsockname()[1]}", f"--num_processes={processes}"]
    each = [[*joined, f"--process_id={i}"] if processes > 1 else [] for i in range(processes)]
    given = [f"--workdir={workdir}", *arguments]
    return [launch(compiled, *given, *more, config=config, devices=devices) for more in each]


@contextlib.contextmanager
def small_disk(folder, size):
    """Mounts a file system of so many bytes on a new folder, and gives that; None where it may not."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def wait_for(process, workdir, step):
    """Waits until a run has told of a training step."""
    begin = time.monotonic()
    while time.monotonic() - begin < WAIT:
        ended = process.poll() is not None
        if last_step(workdir) >= step:
            return
        assert not ended, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no step in time")


def last_step(workdir):
    """The last training step that a run has told of, which may be in the middle of a line; 0 where none."""
    file = workdir / "metrics.jsonl"
    whole = [line for line in file.read_text().splitlines() if line.endswith("}")] if file.exists() else []
    return max((line["step"] for line in map(json.loads, whole) if line["split"] == "train"), default=0)


def lines(workdir, split=None):
    """The figures that a run has written, of one split or of all."""
    read = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in read if split in (None, line["split"])]


def state(workdir, step):
    """The arrays of a checkpoint by their path."""
    with ocp.training.Checkpointer(workdir / "checkpoints") as checkpoints, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that shapes and placement come from the files
        loaded = checkpoints.load_checkpointables(step, {"state": None})["state"]
    return {jax.tree_util.keystr(path): _numbers(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(loaded)}


def _numbers(leaf):
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)
