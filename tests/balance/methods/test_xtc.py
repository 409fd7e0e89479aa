"""X-TC's coefficients: the golden ones, and which loss is the direct one."""

import jax.numpy as jnp
import numpy as np

import mtljax as mtl
from mtljax.relations import consistency_coefficients
from tests.relations import golden


def weights(sizes, direct, **given):
    """Of gradients of these mean absolute values, over two leaves."""
    signs = np.random.default_rng(0).choice([-1, 1], (len(sizes), 6))
    rows = np.asarray(sizes, np.float32)[:, None] * signs * np.float32([0.5, 1.5, 1, 1, 1, 1])
    params = {"a": jnp.zeros(2), "b": jnp.zeros((2, 2))}
    jacobian = {"a": jnp.asarray(rows[:, :2]), "b": jnp.asarray(rows[:, 2:].reshape(-1, 2, 2))}
    balancer = mtl.xtc(len(sizes), direct, **{k: v for k, v in given.items() if k == "tasks"})
    present = given.get("present")
    direction, state = balancer.update(jacobian, balancer.init(params), params, present=present)
    np.testing.assert_allclose(direction["a"], np.asarray(state.weights) @ rows[:, :2], rtol=1e-5, atol=1e-6)
    return np.asarray(state.weights)


def test_golden_coefficients(shared):
    numbers = golden.read(shared, "small.json")["consistency"]["coefficients"]
    found = weights(numbers["mean_absolute_gradients"], "direct", tasks=numbers["names"])
    np.testing.assert_allclose(found, numbers["coefficients"], rtol=1e-5)
    assert numbers["names"].index("direct") == 0
    moved = weights(np.roll(numbers["mean_absolute_gradients"], 1), 1)
    np.testing.assert_allclose(np.roll(moved, -1), numbers["coefficients"], rtol=1e-5)


def test_an_absent_loss_is_not_counted():
    found = weights([1.0, 5.0, 2.0, 3.0], 2, present=np.array([True, False, True, True]))
    np.testing.assert_allclose(found[[0, 2, 3]], consistency_coefficients([1.0, 2.0, 3.0], direct=1), rtol=1e-6)
    assert found[1] == 0


def test_the_direct_loss_alone_is_itself_and_no_gradient_is_no_direction():
    assert weights([1.0, 5.0], 1, present=np.array([False, True])).tolist() == [0, 1]
    np.testing.assert_array_equal(weights([3.0], 0), [1])
    np.testing.assert_allclose(weights([0.0, 0.0, 0.0], 0), [1, 0.5, 0.5])
