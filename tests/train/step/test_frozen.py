"""What is frozen stays: parameters and batch statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mtljax.train.step.frozen import frozen, kept_statistics
from tests.train.step.test_absent import BATCHES, parts, same, steps, with_norms

PARAMS = {"trunk": jnp.ones(3), "a": jnp.ones((2, 2))}


def test_a_frozen_groups_batch_statistics_stay():
    frozen_group = {"shared": optax.chain(optax.adam(1e-2), optax.set_to_zero())}
    first, second = steps([BATCHES[0], BATCHES[3]], with_norms, "equal", optimizer=frozen_group)
    for now, before in zip(
        (second.params, second.model_state["batch_stats"]),
        (first.params, first.model_state["batch_stats"]),
        strict=True,
    ):
        assert same(now["encoder"], before["encoder"])
    norm = first.model_state["batch_stats"]["encoder"]["BatchNorm_0"]
    np.testing.assert_array_equal(norm["mean"], 0.0)
    assert not same(parts(second, "b")[:2], parts(first, "b")[:2])
    assert not same(second.model_state["batch_stats"]["heads_b"], first.model_state["batch_stats"]["heads_b"])


@pytest.mark.parametrize(
    ("trunk", "still"),
    [
        (optax.set_to_zero(), True),
        (optax.chain(optax.adam(0.1), optax.set_to_zero()), True),
        (optax.chain(optax.set_to_zero(), optax.scale(0.5)), False),
        (optax.sgd(0.0), False),
        (optax.adamw(0.1), False),
    ],
    ids=["frozen", "at the end", "not at the end", "rate 0", "adamw"],
)
def test_what_is_frozen_is_read_from_the_update(trunk, still):
    tx = optax.partition({"trunk": trunk, "a": optax.sgd(0.1)}, {"trunk": "trunk", "a": "a"})
    found = dict(zip(PARAMS, reversed(frozen(tx, tx.init(PARAMS), PARAMS)), strict=True))
    assert found == {"trunk": still, "a": False}
    one = optax.chain(optax.adam(0.1), optax.freeze({"trunk": True, "a": False}))
    assert frozen(one, one.init(PARAMS), PARAMS) == [False, True]


def test_statistics_belong_to_the_nearest_parameters():
    params = {"encoder": {"conv": jnp.ones(2), "norm": {"scale": jnp.ones(2)}}, "heads_a": {"dense": jnp.ones(2)}}
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    assert [path.split("'")[-2] for path in paths] == ["conv", "scale", "dense"]
    old = {"batch_stats": {"encoder": {"norm": {"mean": 0.0}, "bare": {"mean": 0.0}}, "heads_a": {"bare": {"mean": 0.0}}},
           "counts": {"steps": 0.0}}  # fmt: skip
    new = jax.tree.map(lambda x: x + 1, old)

    def kept(*moves):
        found = kept_statistics(new, old, params, moves)
        encoder = found["batch_stats"]["encoder"]
        of_head = found["batch_stats"]["heads_a"]["bare"]["mean"]
        return [float(x) for x in (encoder["norm"]["mean"], encoder["bare"]["mean"], of_head, found["counts"]["steps"])]

    assert kept(True, True, True) == [1, 1, 1, 1]
    assert kept(True, False, jnp.array(False)) == [0, 1, 0, 1]
    assert kept(False, True, True) == [1, 1, 1, 1]
    assert kept(False, False, jnp.array(True)) == [0, 0, 1, 1]
    assert kept(False, False, False) == [0, 0, 0, 0]
