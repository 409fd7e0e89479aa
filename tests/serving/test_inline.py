"""Functions without calls of other functions."""

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.serving.export.inline import inlined


def calls(jaxpr):
    """The names of all primitives, those inside of others too."""
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            found |= calls(inner) if hasattr(inner, "eqns") else set()
    return found


TABLE = np.arange(3, dtype=np.float32)


@jax.jit
def inner(x):
    return jnp.where(x > 0, x, 0) + jnp.asarray(TABLE)


def several(x):
    doubled = jax.jit(lambda y: 2 * inner(y))(x)
    return [jax.nn.relu(doubled), jax.checkpoint(jnp.sin)(x), jnp.float32(3)]


def test_what_is_called_stands_in_its_place():
    x = np.float32([-1, 0, 2])
    plain, flat = (jax.make_jaxpr(f)(x) for f in (several, lambda x: inlined(several, x)))
    assert {"jit", "custom_jvp_call"} <= calls(plain.jaxpr)
    assert not {"jit", "custom_jvp_call", "checkpoint"} & calls(flat.jaxpr)
    for found, wanted in zip(inlined(several, x), several(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
