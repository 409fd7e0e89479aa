"""Maps at other sizes."""

import jax
import numpy as np

from mtljax.models.parts.pyramid import resized


def test_a_map_is_resized_as_by_jax_but_with_weights_that_are_no_part_of_the_program():
    x = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)
    size = (3, 12)  # shrinks, and grows
    expected = jax.jit(lambda x: jax.image.resize(x, (2, *size, 3), "linear"))(x)
    np.testing.assert_allclose(jax.jit(lambda x: resized(x, size))(x), expected, atol=1e-6)
    jaxpr = str(jax.make_jaxpr(lambda x: resized(x, size))(x))
    assert jaxpr.count("dot_general") == 2
    assert not any(name in jaxpr for name in ("iota", "reduce_sum", "div"))
