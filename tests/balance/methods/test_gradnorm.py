import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl


def by_definition(losses, norms, alpha, lr):
    """Chen et al. 2018, step by step in NumPy, with Adam written out; the weights used at each step."""
    tasks = losses.shape[1]
    w, m, v = np.ones(tasks), np.zeros(tasks), np.zeros(tasks)
    used = []
    for k, (loss, norm) in enumerate(zip(losses, norms, strict=True), 1):
        used.append(w.copy())
        ratio = loss / losses[0]
        rate = ratio / ratio.mean()
        weighted = w * norm
        target = weighted.mean() * rate**alpha
        g = np.sign(weighted - target) * norm
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - lr * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
        w = w * tasks / w.sum()
    return np.array(used)


@pytest.mark.parametrize(("alpha", "lr"), [(1.5, 0.025), (0.0, 0.02)])
def test_follows_the_paper_step_by_step(alpha, lr):
    rng = np.random.default_rng(0)
    losses = rng.uniform(0.5, 2.0, (20, 3))
    rows = rng.normal(size=(20, 3, 5)) * np.array([0.1, 1, 3])[:, None]
    expected = by_definition(losses, np.linalg.norm(rows, axis=2), alpha, lr)
    balancer = mtl.gradnorm(3, alpha=alpha, lr=lr)
    params = jnp.zeros(5)
    state, update = balancer.init(params), jax.jit(balancer.update)
    for loss, jacobian, weights in zip(losses, rows, expected, strict=True):
        found, state = update(jacobian.astype(np.float32), state, params, losses=loss.astype(np.float32))
        np.testing.assert_allclose(state.weights, weights, rtol=1e-3)
        np.testing.assert_allclose(found, weights @ jacobian, rtol=1e-3, atol=1e-5)
        assert float(state.rule.weights.sum()) == pytest.approx(3, rel=1e-5)


def test_an_absent_task_keeps_its_weight_and_counts_from_its_first_loss():
    balancer = mtl.gradnorm(3)
    params = jnp.zeros(2)
    state, update = balancer.init(params), jax.jit(balancer.update)
    jacobian = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
    for _ in range(5):
        _, state = update(
            jacobian, state, params, losses=jnp.array([1.0, 0.0, 2.0]), present=jnp.array([True, False, True])
        )
    assert float(state.rule.weights[1]) == 1.0
    assert state.rule.initial_losses.tolist() == [1.0, 0.0, 2.0]
    assert float(state.rule.weights.sum()) == pytest.approx(3, rel=1e-5)
    assert state.rule.weights[0] > 1 > state.rule.weights[2]
    _, state = update(
        jnp.ones((3, 2)), state, params, losses=jnp.array([9.0, 7.0, 9.0]), present=jnp.array([True, True, True])
    )
    assert state.rule.initial_losses.tolist() == [1.0, 7.0, 2.0]


def test_misuse_is_told():
    with pytest.raises(ValueError, match="alpha must be at least 0"):
        mtl.gradnorm(2, alpha=-1)
    with pytest.raises(ValueError, match="lr must be positive"):
        mtl.gradnorm(2, lr=0)
    balancer = mtl.gradnorm(2)
    with pytest.raises(ValueError, match="needs the losses"):
        balancer.update(jnp.ones((2, 3)), balancer.init(jnp.zeros(3)), jnp.zeros(3))
