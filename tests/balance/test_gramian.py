import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax.balance import combine, gramian


def test_is_the_gramian_of_the_shared_leaves_alone():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 2, 5)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    params = {"a": jnp.zeros((2, 5)), "b": jnp.zeros(4), "head": jnp.zeros(2)}
    seen = gramian({"a": a, "b": b, "head": jnp.full(2, 100.0)}, params, 3)
    rows = np.concatenate([a.reshape(3, -1), b], axis=1).astype(np.float64)
    np.testing.assert_allclose(seen.matrix(), rows @ rows.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(jnp.diagonal(seen.cosines), 1)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_scales_of_any_size_keep_their_cosines(dtype):
    rows = jnp.asarray([[3.0, 4.0], [4.0, 3.0], [-3.0, 4.0]], dtype)
    seen = gramian(rows * jnp.asarray([[1e-30], [1.0], [1e30]], dtype), jnp.zeros(2, dtype), 3)
    assert seen.norms.dtype == jnp.float32
    np.testing.assert_allclose(seen.cosines[0], [1, 0.96, 0.28], rtol=0.01)
    np.testing.assert_allclose(seen.norms, [5e-30, 5, 5e30], rtol=0.01)


def test_products_are_at_the_highest_precision():
    jaxpr = str(jax.make_jaxpr(lambda j: gramian(j, jnp.zeros(4, jnp.bfloat16), 2))(jnp.ones((2, 4), jnp.bfloat16)))
    assert "precision=(Precision.HIGHEST, Precision.HIGHEST)" in jaxpr


def test_float64_stays_float64():
    with jax.enable_x64(True):
        seen = gramian(jnp.eye(2, dtype=jnp.float64) + 1e-12, jnp.zeros(2, jnp.float64), 2)
        assert seen.cosines.dtype == jnp.float64
        assert float(seen.cosines[0, 1]) == pytest.approx(2e-12, rel=1e-3)


def test_rows_split_over_devices_give_the_whole():
    rows = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    split = jax.pmap(
        lambda part: gramian(part, jnp.zeros(part.shape[1:]), 3, axis_name="data"), axis_name="data", in_axes=1
    )(rows[:, :, None])
    whole = gramian(jnp.asarray(rows), jnp.zeros(8), 3)
    np.testing.assert_allclose(split.cosines[0], whole.cosines, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(split.norms[5], whole.norms, rtol=1e-5)


def test_combine_leaves_rows_of_weight_zero_out():
    jacobian = {"a": jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]]), "head": jnp.array([7.0])}
    found = combine(jacobian, jnp.array([2.0, 0.0]), {"a": jnp.zeros(2), "head": jnp.zeros(1)})
    np.testing.assert_array_equal(found["a"], [2, 4])
    np.testing.assert_array_equal(found["head"], [7])
