"""Programs that are run in step: the same numbers, and an order that no compiler may change."""

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance.linearized.in_step import in_step


def program(scale):
    """What it gives is made in the order b, c, a, some of it in programs inside; c is a constant."""

    def made():
        first = jnp.float32(scale) * jnp.arange(3.0)
        second = jax.jit(lambda x: jax.jit(jnp.sin)(x) + 1)(first)
        third = jax.lax.scan(lambda carry, x: (carry + x, carry * x), second, second * jnp.ones((4, 3)))[0]
        return {"a": third * second, "b": second, "c": jnp.ones(3)}

    return made


def test_places_are_used_as_they_are_made_and_hold_what_the_programs_give():
    order = []

    def use(state, found):
        order.append([np.asarray(leaf) for leaf in found])
        return (state[0] + 1,)

    (count,) = in_step([program(0.5), program(2.0)], [0, 1], use, (jnp.zeros(()),))
    expected = [program(scale)() for scale in (0.5, 2.0)]
    assert count == 2
    for found, name in zip(order, ("b", "a"), strict=True):
        np.testing.assert_allclose(found, [each[name] for each in expected], rtol=1e-6)


def test_what_comes_next_depends_on_what_was_used():
    """Were the state not finite, which it is, nothing would be left of it."""
    found = []

    def use(state, leaves):
        found.append(leaves[0])
        return (jnp.full((), jnp.nan),)

    in_step([program(0.5)], [0, 1], use, (jnp.zeros(()),))
    np.testing.assert_array_equal(found[1], np.zeros(3))
    assert np.all(found[0] != 0)
