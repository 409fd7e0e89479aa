"""Weights learned on a validation batch, against quadratics worked by hand and other forms of the same definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

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
    """The weights of the point of a triangle that is nearest to 0, by a fine grid."""
    grid = np.linspace(0, 1, 401)
    first, second = (x.ravel() for x in np.meshgrid(grid, grid))
    inside = first + second <= 1 + 1e-9
    weights = np.stack([first, second, 1 - first - second], axis=1)[inside]
    return weights[np.argmin(np.linalg.norm(weights @ rows, axis=1))]


def divided(rows, losses, normalise):
    """The rows divided by what `normalise` says."""
    by = {"none": 1.0, "l2": np.linalg.norm(rows, axis=1), "loss": losses}[normalise]
    return rows / np.broadcast_to(by, T)[:, None]


@pytest.mark.parametrize(
    ("steps", "normalise"),
    [
        pytest.param(1, "none", marks=pytest.mark.slow),
        pytest.param(1, "loss", marks=pytest.mark.slow),
        (3, "l2"),
    ],
)
def test_moml_moves_along_the_shortest_of_all_hypergradients(steps, normalise):
    """Steps on these quadratics end at `mean + (1 - eta)^k (theta - mean)`, mean of the a_t by their weights."""
    weights = np.full(T, 1 / T)
    left = (1 - ETA) ** steps
    ahead = (1 - left) * weights @ A + left * THETA
    hyper = (ahead - B) @ A.T * (1 - left) @ slopes_of_softmax(weights)
    shares = shortest(divided(hyper, np.sum((ahead - B) ** 2, axis=1) / 2, normalise))
    logits = -RATE * shares @ hyper
    balancer = mtl.moml(T, step_size=ETA, steps=steps, normalise=normalise, optimizer=optax.sgd(RATE))
    direction, state = updated(balancer)
    np.testing.assert_allclose(state.rule.logits, logits, atol=2e-3 * np.abs(logits).max())
    np.testing.assert_allclose(state.weights, softmax(np.asarray(state.rule.logits)), rtol=1e-5)
    np.testing.assert_allclose(direction, softmax(logits) @ (THETA - A), rtol=1e-3)


def least(rows, constraint, enough):
    """The d that makes `|d|^2 / 2 - min_t <row_t, d>` least where `<constraint, d> >= enough`, by SciPy."""
    level = {"type": "ineq", "fun": lambda x: rows @ x[1:] - x[0]}
    falls = {"type": "ineq", "fun": lambda x: constraint @ x[1:] - enough}
    start = np.concatenate([[0.0], constraint])
    found = minimize(lambda x: x[1:] @ x[1:] / 2 - x[0], start, constraints=[level, falls], options={"ftol": 1e-12})
    assert found.success
    return found.x[1:]


@pytest.mark.parametrize(
    ("normalise", "rho", "every"), [pytest.param("none", 1.0, 2, marks=pytest.mark.slow), ("l2", 0.45, 1)]
)
def test_forum_takes_the_direction_that_solves_its_problem(normalise, rho, every):
    """Then it averages: the second step's rate is 2^(-3/4), and 1 where k counts pairs of steps."""
    steps, weights = 2, np.full(T, 1 / T)
    left = (1 - ETA) ** steps
    lower = (1 - left) * weights @ A + left * THETA
    of_params = weights @ (THETA - A)
    fall = (np.sum((THETA - A) ** 2, axis=1) - np.sum((lower - A) ** 2, axis=1)) / 2
    of_logits = slopes_of_softmax(weights) @ fall
    constraint = np.concatenate([of_params, of_logits])
    rows = divided(THETA - B, None, normalise)
    whole = np.pad(rows, ((0, 0), (0, T)))
    wanted = least(whole, constraint, rho * constraint @ constraint)

    given = {"normalise": normalise, "every": every}
    balancer = mtl.forum(T, step_size=ETA, steps=steps, rho=rho, optimizer=optax.sgd(RATE), **given)
    direction, state = updated(balancer)
    shares, pull = (np.asarray(x, np.float64) for x in (state.rule.shares, state.rule.pull))
    assert pull > 0.1
    assert (shares > 0.05).sum() > 1
    np.testing.assert_allclose(shares @ whole + pull * constraint, wanted, rtol=1e-3, atol=1e-4)
    logits = -RATE * pull * of_logits
    np.testing.assert_allclose(state.rule.logits, logits, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(direction, shares @ rows + pull * softmax(logits) @ (THETA - A), rtol=1e-3, atol=1e-5)
    scales = np.linalg.norm(rows, axis=1) / np.linalg.norm(THETA - B, axis=1)
    np.testing.assert_allclose(state.weights, shares * scales, rtol=1e-4)
    before = [state._replace(rule=state.rule._replace(shares=row)) for row in jnp.eye(T)[:2]]
    first, second = (updated(balancer, one)[1].rule.shares for one in before)
    np.testing.assert_allclose(first - second, (1 - (2 / every) ** -0.75) * np.array([1, -1, 0]), atol=1e-5)


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
        ("moml(normalise='l1')", "expected one of none, l2, loss, loss\\+"),
        ("moml(optimizer='adam')", "optimizer must be an optax transformation"),
        ("forum(rho=0)", "rho must be positive"),
        ("forum(every=0)", "every must be an integer of at least 1"),
        ("forum(beta=2.0)", "between 0 and 1"),
    ],
)
def test_wrong_arguments_are_told(text, message):
    with pytest.raises(UserError, match=message):
        balancer_of(text, T, 0, tasks=("depth", "edge", "parts"))
