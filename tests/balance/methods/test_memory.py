"""What methods keep from step to step: nothing of an absent task moves, and no bad number is remembered."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from tests.balance.methods import table
from tests.balance.methods.table import METHODS, is_key

T, P = 3, 8
ALL, AWAY = np.ones(T, bool), np.array([True, False, True])
OTHER = {"nash_mtl": {"update_every": 10}, "stch": {"warmup": 8}}  # than in the table
KEEPS = [
    "auto_lambda", "cr_mogm", "db_mtl", "dwa", "excess_mtl", "famo", "forum", "gradnorm", "gradvac", "imtl_l", "moco",
    "modo", "moml", "nash_mtl", "pcd", "sdmgrad", "stch", "uncertainty",
]  # fmt: skip
keeps = pytest.mark.parametrize("method", KEEPS)


@functools.cache
def made(method):
    if method not in OTHER:
        return table.made(method, T)
    balancer = getattr(mtl, method)(T, **OTHER[method])
    return balancer, jax.jit(balancer.update)


def observed(seed):
    """A Jacobian and losses, of scales that do not change."""
    rng = np.random.default_rng(seed)
    return (1 + 0.5 * rng.normal(size=(T, P))).astype(np.float32), rng.uniform(0.5, 2, T).astype(np.float32)


def walk(method, steps, state=None, first=0, present=ALL):
    balancer, update = made(method)
    state = balancer.init(jnp.zeros(P)) if state is None else state
    for seed in range(first, first + steps):
        jacobian, losses = observed(seed)
        direction, state = update(jacobian, state, jnp.zeros(P), losses=losses, present=present)
    return direction, state


def test_every_method_that_remembers_is_looked_at():
    keys_only = {"graddrop", "pcgrad", "random_direction", "random_weighting"}
    remembering = {name for name in METHODS if jax.tree.leaves(made(name)[0].init(jnp.zeros(P)).rule)}
    assert remembering - keys_only == {*KEEPS, "constant", "imtl"}  # a step counter; imtl_l


@keeps
def test_nothing_moves_of_what_is_kept_of_an_absent_task(method):
    if method in ("dwa", "nash_mtl"):
        pytest.skip("windows and solutions are of all tasks; see below")
    _, before = walk(method, 7)
    _, after = walk(method, 4, before, first=7, present=AWAY)
    for (path, old), new in zip(
        jax.tree_util.tree_leaves_with_path(before.rule), jax.tree.leaves(after.rule), strict=True
    ):
        name = jax.tree_util.keystr(path)
        if np.shape(old)[:1] == (T,) and not name.endswith("age") and not name.startswith(".base"):
            np.testing.assert_array_equal(old[1], new[1], err_msg=name)


@keeps
def test_a_task_that_comes_late_is_weighed_as_one_that_was_there(method):
    """After 40 steps without it and 40 with it, it has a part like the others'."""
    _, state = walk(method, 40, present=AWAY)
    direction, state = walk(method, 40, state, first=40)
    assert state.present.all()
    assert jnp.isfinite(direction).all()
    if method not in ("cr_mogm", "forum", "modo", "sdmgrad", "moco", "pcd"):  # which give weights of 0 rightly
        assert np.max(state.weights) < 30 * state.weights[1]


@functools.cache
def clean_walk(method):
    """The state after seven steps, and the direction and the state after 61 more."""
    _, state = walk(method, 7)
    return state, *walk(method, 61, state, first=7)


@pytest.mark.parametrize("size", [1e20, 1e30, 1e10])
@keeps
def test_one_bad_row_or_loss_is_not_remembered(method, size):
    state, expected, clean = clean_walk(method)
    jacobian, losses = observed(7)
    jacobian[1] *= size
    losses[1] *= size
    _, update = made(method)
    found, bad = update(jacobian, state, jnp.zeros(P), losses=losses, present=ALL)
    assert jnp.isfinite(found).all()
    direction, bad = walk(method, 60, bad, first=8)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(bad) if not is_key(leaf))
    np.testing.assert_allclose(bad.weights, clean.weights, rtol=0.5, atol=0.1)
    assert np.linalg.norm(direction - expected) < 0.5 * np.linalg.norm(expected)
    if hasattr(bad.rule, "descent"):  # and goes on moving
        moves = [walk(method, 20, state, first=68)[1].rule[0] - state.rule[0] for state in (bad, clean)]
        assert abs(moves[0][1]) >= 0.05 * abs(moves[1][1])


def test_nash_mtl_solves_again_when_other_tasks_are_there():
    balancer, update = made("nash_mtl")
    jacobian, params = np.eye(T, P, dtype=np.float32), jnp.zeros(P)
    _, state = update(jacobian, balancer.init(params), params, present=AWAY)
    for _ in range(9):  # each task gains 1 / w = 1
        direction, state = update(jacobian, state, params, present=ALL)
        np.testing.assert_allclose(jacobian @ direction, 1, rtol=1e-5)
    flat = jacobian * np.array([[1], [0], [1]], np.float32)  # and so where a gradient was zero, or very long
    for other in (flat, jacobian * np.array([[1], [1e6], [1]], np.float32)):
        _, state = update(other, balancer.init(params), params)
        direction, _ = update(jacobian, state, params)
        np.testing.assert_allclose(jacobian @ direction, 1, rtol=1e-5)


def test_the_fall_of_a_loss_over_several_steps_is_divided_by_them():
    balancer, update = made("famo")
    jacobian, state = jnp.ones((T, P)), balancer.init(jnp.zeros(P))
    for step in range(8):  # all losses fall alike; the second is seen every fourth step
        losses = np.exp(-0.1 * step) * np.ones(T, np.float32)
        _, state = update(jacobian, state, jnp.zeros(P), losses=losses, present=ALL if step % 4 == 0 else AWAY)
    np.testing.assert_allclose(state.rule.logits, 0, atol=0.01)


def test_a_window_of_dwa_without_a_task_says_nothing_of_it():
    balancer = mtl.dwa(2, period=1)
    state, params = balancer.init(jnp.zeros(2)), jnp.zeros(2)
    for losses, present in (([4.0, 4.0], [True, True]), ([2.0, 0.0], [True, False]), ([1.0, 4.0], [True, True])):
        direction, state = balancer.update(
            jnp.eye(2), state, params, losses=jnp.array(losses), present=jnp.array(present)
        )
    np.testing.assert_allclose(direction, 2 * jax.nn.softmax(jnp.array([0.25, 0.5])), rtol=1e-5)


POSITIVE = {
    "stch": {}, "db_mtl": {}, "geometric_mean": {}, "famo": {}, "mgda": {"normalise": "loss"},
    "cr_mogm": {"balancer": mtl.mgda(T, normalise="loss+")},
}  # fmt: skip


@pytest.mark.parametrize("method", POSITIVE)
def test_a_loss_at_or_below_zero_is_left_out_and_flagged_where_logarithms_are_taken(method):
    balancer = getattr(mtl, method)(T, **POSITIVE[method])
    assert balancer.needs_positive_losses
    assert mtl.compose(mtl.equal(T), balancer).needs_positive_losses
    update, params = jax.jit(balancer.update), jnp.zeros(P)
    jacobian, losses = observed(0)
    for bad in (-1.0, 0.0):
        state = balancer.init(params)
        for _ in range(3):
            losses[1] = bad
            direction, state = update(jacobian, state, params, losses=losses)
            assert state.present.tolist() == [True, False, True]
            assert state.weights[1] == 0
            assert 0 < np.linalg.norm(direction) < 1e3
        losses[1] = 1.0
        direction, state = update(jacobian, state, params, losses=losses)
        assert state.present.all()
        assert state.weights[1] > 0 or method in ("mgda", "cr_mogm")
    losses[1] = 1e-30
    direction, state = update(jacobian, balancer.init(params), params, losses=losses)
    assert np.max(np.abs(direction)) < 1e10


@pytest.mark.parametrize("method", ["cosmos", "dwa", "gradnorm", "imtl_l", "pbi", "uncertainty"])
def test_losses_below_zero_are_bounded_elsewhere(method):
    arguments = {"optimizer": optax.sgd(1.0)} if method in ("imtl_l", "uncertainty") else METHODS[method].arguments
    balancer = getattr(mtl, method)(T, **arguments)
    assert not balancer.needs_positive_losses
    update, state, params = jax.jit(balancer.update), balancer.init(jnp.zeros(P)), jnp.zeros(P)
    jacobian, losses = observed(0)
    losses[1] = -5.0
    for _ in range(200):
        _, state = update(jacobian, state, params, losses=losses)
    assert state.present.all()
    assert (np.abs(state.weights) < 1.1e13).all()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    if method == "gradnorm":
        assert state.rule.weights[1] == 1


def test_famo_takes_losses_above_bounds_of_its_own():
    balancer = mtl.famo(2, min_losses=(-3.0, 0.0))
    assert not balancer.needs_positive_losses
    state, params = balancer.init(jnp.zeros(2)), jnp.zeros(2)
    direction, state = balancer.update(jnp.eye(2), state, params, losses=jnp.array([-2.0, 1.0]))
    np.testing.assert_allclose(direction, [0.5, 0.5])
    _, state = balancer.update(jnp.eye(2), state, params, losses=jnp.array([-4.0, 1.0]))
    assert state.present.tolist() == [False, True]
