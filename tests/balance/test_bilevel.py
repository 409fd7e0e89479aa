"""Weights learned on a validation batch, against quadratics worked by hand and other forms of the same definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.config.experiment import balancer_of

# L_t = |theta - a_t|^2 / 2 on the training batch, F_t = |theta - b_t|^2 / 2 on the validation batch.
RNG = np.random.default_rng(2)
T, P, ETA, RATE = 3, 4, 0.1, 0.5
A, B, THETA = RNG.normal(size=(T, P)), RNG.normal(size=(T, P)), RNG.normal(size=P)


def losses_fn(theta, data):
    return jnp.sum((theta - data) ** 2, axis=1) / 2


@functools.cache
def compiled(balancer):
    def update(params, data, validation, state):
        losses, jacobian = losses_fn(params, data), params - data
        ahead = mtl.balance.look_ahead(losses_fn, params, data, validation)
        return balancer.update(jacobian, state, params, losses=losses, ahead=ahead)

    return jax.jit(update)


def updated(balancer, state=None, validation=B):
    """One update at THETA: the direction and the state."""
    given = [np.asarray(x, np.float32) for x in (THETA, A, validation)]
    state = balancer.init(given[0]) if state is None else state
    return compiled(balancer)(*given, state)


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def slopes_of_softmax(weights):
    return np.diag(weights) - np.outer(weights, weights)


@pytest.mark.parametrize("primary", [pytest.param(None, marks=pytest.mark.slow), [1]])
def test_auto_lambda_moves_along_the_validation_losses_after_a_step(primary):
    chosen = np.ones(T) if primary is None else np.eye(T)[1]
    weights = np.full(T, 0.1)
    ahead = THETA - ETA * weights @ (THETA - A)
    gradient = -ETA * (THETA - A) @ (chosen @ (ahead - B))
    expected = weights - RATE * gradient
    assert (expected > 0).all()
    balancer = mtl.auto_lambda(T, step_size=ETA, primary=primary, optimizer=optax.sgd(RATE))
    direction, state = updated(balancer)
    np.testing.assert_allclose(state.weights, expected, rtol=1e-4)
    np.testing.assert_allclose(direction, expected @ (THETA - A), rtol=1e-4)


def shortest(rows):
    """The point of a triangle that is nearest to 0, by a fine grid over its weights."""
    grid = np.linspace(0, 1, 401)
    first, second = (x.ravel() for x in np.meshgrid(grid, grid))
    inside = first + second <= 1 + 1e-9
    weights = np.stack([first, second, 1 - first - second], axis=1)[inside]
    return weights[np.argmin(np.linalg.norm(weights @ rows, axis=1))]


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_moml_moves_along_the_shortest_of_all_hypergradients(steps):
    """Steps on these quadratics end at `mean + (1 - eta)^k (theta - mean)`, mean of the a_t by their weights."""
    weights = np.full(T, 1 / T)
    left = (1 - ETA) ** steps
    ahead = (1 - left) * weights @ A + left * THETA
    hyper = (ahead - B) @ A.T * (1 - left) @ slopes_of_softmax(weights)
    logits = -RATE * shortest(hyper) @ hyper
    balancer = mtl.moml(T, step_size=ETA, steps=steps, optimizer=optax.sgd(RATE))
    direction, state = updated(balancer)
    np.testing.assert_allclose(state.rule.logits, logits, atol=2e-3 * np.abs(logits).max())
    np.testing.assert_allclose(state.weights, softmax(np.asarray(state.rule.logits)), rtol=1e-5)
    np.testing.assert_allclose(direction, softmax(logits) @ (THETA - A), rtol=1e-3)


def test_forum_follows_the_constraint_and_the_shares_that_solve_its_problem():
    rho, steps, weights = 0.3, 2, np.full(T, 1 / T)
    left = (1 - ETA) ** steps
    lower = (1 - left) * weights @ A + left * THETA
    of_params = weights @ (THETA - A)
    fall = (np.sum((THETA - A) ** 2, axis=1) - np.sum((lower - A) ** 2, axis=1)) / 2
    of_logits = slopes_of_softmax(weights) @ fall
    size = of_params @ of_params + of_logits @ of_logits
    rows = THETA - B

    def pull(shares):
        return max(rho - shares @ rows @ of_params / size, 0)

    def objective(shares):
        whole = np.concatenate([shares @ rows + pull(shares) * of_params, pull(shares) * of_logits])
        return whole @ whole / 2 - pull(shares) * rho * size

    grid = [np.array([i, j, 100 - i - j]) / 100 for i in range(101) for j in range(101 - i)]
    best = min(grid, key=objective)
    balancer = mtl.forum(T, step_size=ETA, steps=steps, rho=rho, optimizer=optax.sgd(RATE))
    direction, state = updated(balancer)
    np.testing.assert_allclose(state.rule.shares, best, atol=0.02)
    assert objective(np.asarray(state.rule.shares, np.float64)) <= objective(best) + 1e-6
    shares = np.asarray(state.rule.shares, np.float64)
    np.testing.assert_allclose(state.rule.pull, pull(shares), rtol=1e-3, atol=1e-6)
    logits = -RATE * pull(shares) * of_logits
    np.testing.assert_allclose(state.rule.logits, logits, rtol=1e-3, atol=1e-6)
    expected = shares @ rows + pull(shares) * softmax(logits) @ (THETA - A)
    np.testing.assert_allclose(direction, expected, rtol=1e-3, atol=1e-5)
    _, again = updated(balancer, state)
    rate = 2**-0.75
    assert np.abs(np.asarray(again.rule.shares) - shares).max() <= rate


METHODS = {"auto_lambda": mtl.auto_lambda, "moml": mtl.moml, "forum": mtl.forum}
methods = pytest.mark.parametrize("method", METHODS)


@pytest.mark.parametrize(
    "method", ["auto_lambda", *(pytest.param(name, marks=pytest.mark.slow) for name in ("moml", "forum"))]
)
def test_validation_losses_that_are_not_finite_leave_all_as_it_was(method):
    balancer = METHODS[method](T)
    _, before = updated(balancer)
    broken = B.copy()
    broken[1] = np.nan
    direction, after = updated(balancer, before, validation=broken)
    assert before.solved
    assert not after.solved
    jax.tree.map(np.testing.assert_array_equal, after.rule, before.rule)
    assert method == "forum" or np.isfinite(direction).all()


@methods
def test_it_says_what_it_needs_and_refuses_to_go_without(method):
    balancer, params = METHODS[method](T), jnp.zeros(P)
    assert balancer.needs == mtl.balance.VALIDATION == "validation batch"
    assert not mtl.equal(T).needs
    with pytest.raises(ValueError, match=r"validation batch: call update\(.*ahead=mtl.balance.look_ahead"):
        balancer.update(jnp.ones((T, P)), balancer.init(params), params, losses=jnp.ones(T))
    with pytest.raises(ValueError, match="needs a validation batch; it works alone"):
        mtl.compose(mtl.equal(T), balancer)
    with pytest.raises(ValueError, match="'a' needs a validation batch; it works alone"):
        mtl.per_group({"a": balancer})


@pytest.mark.slow
@methods
def test_an_absent_task_has_no_part(method):
    """The direction is that of the other tasks alone, and what is kept of it stays."""
    present, rest = jnp.array([True, False, True]), np.array([0, 2])
    whole, few = METHODS[method](T), METHODS[method](2)
    first = whole.init(THETA)

    def update(balancer, places, **known):
        data, held = (jnp.asarray(x[places], jnp.float32) for x in (A, B))
        params = jnp.asarray(THETA, jnp.float32)
        there = jnp.asarray([True, False, True])[places]

        def losses_of(theta, batch):
            return jnp.where(there, losses_fn(theta, batch), 0.0)  # as of a task without labels

        ahead = mtl.balance.look_ahead(losses_of, params, data, held)
        rows = jnp.where(there[:, None], params - data, 0.0)
        return jax.jit(lambda state: balancer.update(rows, state, params, ahead=ahead, **known))(balancer.init(params))

    direction, state = update(whole, np.arange(T), present=present)
    alone, _ = update(few, rest)
    np.testing.assert_allclose(direction, alone, rtol=1e-4, atol=1e-6)
    assert state.rule[0][1] == first.rule[0][1]
    assert state.weights[1] == 0


@pytest.mark.slow
def test_heads_have_a_part_in_the_step_ahead_and_are_scaled():
    """Each task's head is moved by the weighted losses, too, and the validation losses are those of the moved heads."""
    params = {"shared": jnp.float32(1.0), "head": jnp.float32(2.0)}

    def of_both(p, data):
        return {"a": (p["shared"] * p["head"] - data) ** 2, "b": (p["shared"] - data) ** 2}

    at = mtl.balance.linearize_at(of_both, params, 1.0)
    ahead = mtl.balance.look_ahead(of_both, params, 1.0, 3.0)
    balancer = mtl.auto_lambda(2, step_size=ETA, optimizer=optax.sgd(0.01))

    def after(weights):  # d a / d (shared, head) = 2 (2 - 1) (2, 1); d b / d shared = 0
        shared, head = 1 - ETA * weights[0] * 4, 2 - ETA * weights[0] * 2
        return (shared * head - 3) ** 2 + (shared - 3) ** 2

    expected = 0.1 - 0.01 * np.array([(after([0.1 + h, 0.1]) - after([0.1 - h, 0.1])) / 2 / h for h in (1e-4,)] + [0.0])
    state = balancer.init(params)
    known = {"losses": at.losses, "ahead": ahead, "owners": at.owners}
    direction, state = balancer.update(at.jacobian(), state, params, **known)
    np.testing.assert_allclose(state.weights, expected, rtol=1e-3)
    np.testing.assert_allclose(direction["head"], expected[0] * 2, rtol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("auto_lambda(step_size=0)", "step_size must be positive"),
        ("auto_lambda(primary=['edges'])", "no such task; did you mean 'edge'"),
        ("auto_lambda(primary='edge')", "expected a list of tasks"),
        ("auto_lambda(primary=[3])", "there is no task 3; there are 3 tasks"),
        ("moml(steps=0)", "steps must be an integer of at least 1"),
        ("moml(optimizer='adam')", "optimizer must be an optax transformation"),
        ("forum(rho=0)", "rho must be positive"),
        ("forum(beta=2.0)", "between 0 and 1"),
    ],
)
def test_wrong_arguments_are_told(text, message):
    with pytest.raises(UserError, match=message):
        balancer_of(text, T, 0, tasks=("depth", "edge", "parts"))
