"""A state before its first step: made in one program, and where the steps want it."""

import jax
import numpy as np
import pytest
from jax import monitoring
from jax.sharding import NamedSharding

from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.run.start import start
from mtljax.train.step.state import create
from tests.train.conftest import changed

COMPILED: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def counted():
    """Counts programs for the rest of the process: JAX takes no listener back."""
    monitoring.register_event_duration_secs_listener(lambda event, *_, **__: COMPILED.append(event))


def programs():
    return sum("backend_compile" in event for event in COMPILED)


@pytest.mark.parametrize("parallel", ["pmap", "mesh(data=2, fsdp=4, smallest=8)"])
def test_a_state_is_made_at_once_and_where_it_belongs(digits, parallel):
    parts = experiment.build(checked(changed(digits, parallel=parallel, model="MultiTask(MLP((8, 8)))")))
    fitted = checks.fit(parts)
    jax.block_until_ready((jax.random.key(0), parts.balancer.init(fitted.shapes["params"])))  # small, and eager
    before = programs()
    state, told = start(parts, fitted)
    assert (told, programs() - before) == ("", 1)
    expected = parts.spread.place_state(create(parts.init(fitted.sample["image"]), parts.balancer, fitted.optimizer))
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for found, wanted in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.sharding.is_equivalent_to(wanted.sharding, found.ndim)
    kernel = max(jax.tree.leaves(state.params["encoder"]), key=np.size)
    if parallel != "pmap":
        assert isinstance(kernel.sharding, NamedSharding)
        assert kernel.addressable_shards[0].data.size == kernel.size // 4
