"""Finite numbers, in few operations."""

import jax
import jax.numpy as jnp
import pytest

from mtljax.balance.finite import all_finite, still_finite

TREE = {"a": jnp.ones((2, 3)), "b": jnp.ones((2, 3)), "c": jnp.ones(4), "count": jnp.array(1)}


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_one_element_of_any_leaf_that_is_no_number_is_found(name):
    worse = TREE | {name: TREE[name].at[-1].set(jnp.nan)}
    assert all_finite(TREE)
    assert not all_finite(worse)
    assert still_finite(TREE, worse)
    assert still_finite(worse, worse)
    assert not still_finite(worse, TREE)


def test_leaves_of_one_shape_are_looked_at_together():
    many = [jnp.ones((2, 3))] * 20 + [jnp.ones(4)] * 20
    for function, args in ((all_finite, (many,)), (still_finite, (many, many))):
        assert str(jax.make_jaxpr(function)(*args)).count("reduce_and") == 3


def test_a_tree_without_floats_is_finite():
    assert all_finite({})
    assert still_finite({"count": jnp.array(1)}, {"count": jnp.array(2)})
