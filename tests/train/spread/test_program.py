"""Programs are compiled once for each form of their arguments."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax import train
from mtljax.train.spread import program
from mtljax.train.spread.program import Program, flops_of


def test_each_form_is_compiled_once():
    traced = []

    def function(first, x, seed):
        traced.append(x.shape)
        return first * x.sum() + seed

    jitted = jax.jit(function)
    program = Program(jitted)
    for x in (np.ones(3, np.float32), np.zeros(3, np.float32), np.ones(3, np.uint8), np.ones(4, np.float32)):
        for seed in (0, 1):
            assert float(program(2.0, x, np.int32(seed))) == 2 * x.sum() + seed
    assert traced == [(3,), (3,), (4,)]
    jitted.clear_cache()
    program(2.0, np.ones(3, np.float32), np.int32(5))
    assert len(traced) == 3, "what is compiled stays with the program"


def test_flops_are_those_of_the_product():
    program = Program(jax.jit(lambda a, b: a @ b))
    assert program.flops is None
    program(jnp.ones((4, 8)), jnp.ones((8, 16)))
    assert program.flops == 2 * 4 * 8 * 16


def test_a_backend_that_does_not_count_is_unknown():
    class Silent:
        def cost_analysis(self):
            return None

    assert flops_of(Silent()) is None


def test_a_state_that_lies_elsewhere_is_brought_where_it_is_wanted():
    """As that of a checkpoint, which is on one device, where a step's own is on all."""
    spread = train.pmap()
    program = Program(spread.train(lambda state, batch, seed: (state + batch.mean() + seed, batch.sum()), 1))
    batch = spread.place_batch(np.ones((8, 1), np.float32))
    state = jax.device_put(jnp.float32(1.0), jax.devices()[0])
    for expected in (5.0, 9.0):
        state, _ = program(state, batch, np.int32(3))
        assert float(state) == expected


class _Added:
    def __call__(self, first, x):
        return first + x

    def cost_analysis(self):
        return None


class _Slow:
    """What compiles until it is let go."""

    def __init__(self):
        self.go = threading.Event()

    def lower(self, *_):
        return self

    def compile(self):
        self.go.wait(30)
        return _Added()


def test_what_watches_a_compilation_may_end_the_wait():
    slow, seen = _Slow(), []

    def watch(seconds):
        seen.append(seconds)
        if len(seen) == 3:
            raise KeyError

    with program.watching(watch), pytest.raises(KeyError):
        Program(slow)(1, np.int32(2))
    assert program.unfinished()
    assert seen == sorted(seen)
    slow.go.set()
    for thread in [t for t in threading.enumerate() if t.name == "compiling"]:
        thread.join()
    assert not program.unfinished()
    assert Program(slow)(1, np.int32(2)) == 3, "outside, nobody watches"
    assert len(seen) == 3


def test_what_fails_to_compile_raises_where_it_is_called():
    class Failing(_Slow):
        def compile(self):
            raise MemoryError("too large")

    with program.watching(lambda seconds: None), pytest.raises(MemoryError, match="too large"):
        Program(Failing())(1, np.int32(2))
