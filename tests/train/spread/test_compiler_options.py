"""The options with which XLA compiles quickly for the CPU."""

import importlib.metadata
import math
import os
import subprocess
import sys

import jax
import pytest

from mtljax.train.spread import compiler_options
from tests.runs import WAIT

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


@pytest.fixture
def no_accelerator(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    before = jax.config.jax_platforms
    yield
    jax.config.update("jax_platforms", before)


@pytest.mark.parametrize(("platforms", "said"), [("cpu", True), ("cpu,cuda", True), ("cuda,cpu", False), ("", True)])
def test_only_where_there_is_nothing_but_a_cpu(no_accelerator, platforms, said):
    jax.config.update("jax_platforms", platforms)
    given = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    compiler_options.compile_quickly(given)
    assert ("xla_backend_extra_options" in given["XLA_FLAGS"]) is said
    assert given["XLA_FLAGS"].startswith("--xla_force_host_platform_device_count=2")


def test_not_beside_a_plugin_of_an_accelerator(no_accelerator, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: (group,))
    jax.config.update("jax_platforms", "")
    given = {}
    compiler_options.compile_quickly(given)
    assert not given


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
