"""Programs are compiled once for each form of their arguments."""

import jax
import jax.numpy as jnp
import numpy as np

from mtljax import train
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
