"""The options with which XLA compiles quickly for the CPU."""

import json
import math
import os
import subprocess
import sys

import pytest

from mtljax.train.spread import compiler_options
from tests.runs import CONFIG, WAIT, finish, launch

# How many bytes a program takes that is like the steps of an optimiser, and the sum of what it computes.
PROGRAM = """
import sys
from mtljax.train.spread import compiler_options
if sys.argv[1] == "quickly":
    compiler_options.compile_quickly()
import jax, jax.numpy as jnp
def function(x):
    mean, square = 0.9 * x + 0.1 * x * x, 0.99 * x + 0.01 * x * x * x
    return mean, square, x - 1e-3 * mean / (jnp.sqrt(square) + 1e-8), jnp.exp(x), x.sum(0)
x = jnp.ones((45, 7))
program = jax.jit(function).lower(x).compile()
print(len(program.runtime_executable().serialize()), float(sum(y.sum() for y in program(x))))
"""


def test_what_the_environment_has_already_stays():
    given = {"XLA_FLAGS": "--xla_backend_extra_options="}
    assert not compiler_options.compile_quickly(given)
    assert given["XLA_FLAGS"] == "--xla_backend_extra_options="


def test_what_a_parent_has_asked_for_is_not_asked_again():
    given = {}
    assert compiler_options.compile_quickly(given)
    once = given["XLA_FLAGS"]
    assert compiler_options.compile_quickly(given)
    assert given["XLA_FLAGS"] == once


def test_later_releases_get_no_options_of_llvm():  # which ends the process where it does not know one
    old, new = {}, {}
    assert compiler_options.compile_quickly(old, "0.10.2")
    assert compiler_options.compile_quickly(new, "0.13.0")
    assert ",-" in old["XLA_FLAGS"]
    assert ",-" not in new["XLA_FLAGS"]


@pytest.mark.slow
def test_a_program_becomes_less_code():
    sizes = {}
    for how in ("quickly", "as_ever"):
        environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", PROGRAM, how]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT, check=False)
        assert done.returncode == 0, done.stderr
        size, total = done.stdout.split()
        sizes[how] = int(size)
        assert float(total) == pytest.approx(315 * (1 + 1 + 0.999 + math.e + 1), rel=1e-5)
    assert sizes["quickly"] < 0.85 * sizes["as_ever"], sizes


@pytest.mark.slow
def test_a_command_asks_for_it_by_a_flag(ten_frames, compiled, tmp_path):
    config, asked = f"{CONFIG}:{ten_frames}", ["--compile_quickly", f"--workdir={tmp_path}"]
    steps = [f"--config.{key}=1" for key in ("steps", "eval_every", "checkpoint_every")]
    finish(launch(compiled, *asked, *steps, config=config))
    assert "xla_cpu_disable_loop_unrolling" in json.loads((tmp_path / "run.json").read_text())["xla_flags"]
    own = ("env", "XLA_FLAGS=--xla_backend_extra_options=xla_cpu_unheard_of")
    _, said = finish(launch(compiled, *asked, "--mode=eval", shell=own))
    assert "warning: --compile_quickly changes nothing: XLA_FLAGS has --xla_backend_extra_options" in said
