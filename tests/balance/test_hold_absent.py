"""What no present task reaches stays as it is, in a loop of one's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl

PARAMS = {"trunk": jnp.array([1.0, 2.0]), "a": jnp.array([3.0, 1.0]), "b": jnp.array([2.0, 5.0])}
DECAYING = optax.adamw(lambda count: 0.1 / (1 + count), weight_decay=0.5)
A_ALONE, BOTH, NONE = (jnp.array(flags) for flags in ([True, False], [True, True], [False, False]))


def losses_fn(params):
    return tuple(jnp.sum(jnp.sin(params["trunk"] * params[name])) for name in ("a", "b"))


def grouped(wrap=lambda tx: tx, trunk=None):
    trunk = trunk or mtl.equal(2)
    groups = {"trunk": optax.chain(trunk, wrap(DECAYING)), "a": wrap(DECAYING), "b": wrap(DECAYING)}
    return optax.partition(groups, {name: name for name in PARAMS})


WAYS = {
    "not at all": lambda owners: optax.chain(mtl.equal(2), DECAYING),
    "after": lambda owners: optax.chain(mtl.equal(2), mtl.balance.hold_absent(DECAYING, owners)),
    "around": lambda owners: mtl.balance.hold_absent(optax.chain(mtl.equal(2), DECAYING), owners),
    "after, groups": lambda owners: optax.chain(
        mtl.equal(2), grouped(lambda tx: mtl.balance.hold_absent(tx, owners), optax.identity())
    ),
    "groups": lambda owners: grouped(lambda tx: mtl.balance.hold_absent(tx, owners)),
    "around groups": lambda owners: mtl.balance.hold_absent(grouped(), owners),
}


@functools.cache
def stepped(way):
    """The transformation and its jitted step."""
    tx = WAYS[way](mtl.balance.linearize_at(losses_fn, PARAMS).owners)

    @jax.jit
    def step(params, state, present):
        at = mtl.balance.linearize_at(losses_fn, params)
        jacobian = jax.tree.map(lambda leaf: leaf, at.jacobian())
        jacobian["trunk"] *= present[:, None]
        jacobian |= {name: jacobian[name] * present[i] for i, name in enumerate("ab")}
        updates, state = tx.update(jacobian, state, params, losses=at.losses * present, present=present)
        return optax.apply_updates(params, updates), state

    return tx, step


def steps(way, flags):
    """The parameters and the state after each step."""
    tx, step = stepped(way)
    found = [(PARAMS, tx.init(PARAMS))]
    for present in flags:
        found.append(step(*found[-1], present))
    return found


@pytest.mark.parametrize("way", [way for way in WAYS if way != "not at all"])
def test_an_absent_tasks_parameters_and_moments_stay_and_others_do_not(way):
    _, first, second, third = steps(way, [BOTH, A_ALONE, BOTH])
    assert (second[0]["b"] == first[0]["b"]).all()
    for name in ("trunk", "a"):
        assert (second[0][name] != first[0][name]).all()
    assert (third[0]["b"] != second[0]["b"]).all()

    def of(name, state):
        leaves = jax.tree_util.tree_leaves_with_path(state)
        return [leaf for path, leaf in leaves if f"'{name}'" in jax.tree_util.keystr(path)]

    assert len(of("b", first[1])) == (4 if "groups" in way else 2), "moments, and counts of a group of its own"
    for held, before in zip(of("b", second[1]), of("b", first[1]), strict=True):
        np.testing.assert_array_equal(held, before)
    assert all((a != b).all() for a, b in zip(of("a", second[1]), of("a", first[1]), strict=True))


def test_of_stacked_heads_the_slice_of_an_absent_task_stays():
    params = {"trunk": jnp.ones(3), "heads": jnp.ones((2, 3))}

    def stacked_losses(params):
        return jax.vmap(lambda head: (head * params["trunk"]).sum())(params["heads"])

    at = mtl.balance.linearize_at(stacked_losses, params)
    tx = mtl.balance.hold_absent(optax.chain(mtl.equal(2), DECAYING), at.owners)
    losses, jacobian = jax.jit(mtl.value_and_jacobian(stacked_losses))(params)
    update = jax.jit(tx.update)
    first, state = update(jacobian, tx.init(params), params, losses=losses, present=BOTH)
    second, held = update(jacobian, state, params, losses=losses, present=A_ALONE)
    assert (first["heads"] != 0).all()
    assert (second["heads"][0] != 0).all()
    assert (second["heads"][1] == 0).all()
    assert (second["trunk"] != 0).all()
    moments = [
        (before[1], after[1])
        for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(held), strict=True)
        if jnp.shape(before) == (2, 3)
    ]
    assert len(moments) == 2
    for before, after in moments:
        np.testing.assert_array_equal(before, after)


def test_without_the_wrapper_an_absent_task_moves():
    _, first, second = steps("not at all", [BOTH, A_ALONE])
    assert (second[0]["b"] != first[0]["b"]).all()


@pytest.mark.parametrize("way", [way for way in WAYS if way != "not at all"])
def test_where_all_are_absent_nothing_moves(way):
    _, first, second = steps(way, [BOTH, NONE])
    jax.tree.map(np.testing.assert_array_equal, second[0], first[0])
    balancers, others = (
        jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, mtl.balance.BalanceState))
        for state in (first[1], second[1])
    )
    for a, b in zip(balancers, others, strict=True):
        if not isinstance(a, mtl.balance.BalanceState):
            np.testing.assert_array_equal(a, b)


def test_where_all_are_present_nothing_is_held():
    held, expected = steps("after", [BOTH] * 2), steps("not at all", [BOTH] * 2)
    jax.tree.map(np.testing.assert_array_equal, held[-1], expected[-1])


def test_a_task_whose_gradient_is_no_number_counts_as_absent():
    tx = WAYS["around"](mtl.balance.linearize_at(losses_fn, PARAMS).owners)
    jacobian = mtl.balance.linearize_at(losses_fn, PARAMS).jacobian()
    jacobian["trunk"] = jacobian["trunk"].at[1].set(jnp.nan)
    updates, _ = tx.update(jacobian, tx.init(PARAMS), PARAMS, losses=jnp.ones(2))
    assert (updates["b"] == 0).all()
    assert (updates["a"] != 0).all()


def test_a_parameter_that_no_loss_depends_on_does_not_decay():
    params = PARAMS | {"idle": jnp.ones(3)}
    at = mtl.balance.linearize_at(losses_fn, params)
    tx = mtl.balance.hold_absent(optax.chain(mtl.equal(2), DECAYING), at.owners)
    updates, _ = tx.update(at.jacobian(), tx.init(params), params, losses=at.losses)
    assert (updates["idle"] == 0).all()


def test_what_it_needs_to_know_is_told():
    tx = mtl.balance.hold_absent(DECAYING)
    state = tx.init(PARAMS)
    with pytest.raises(ValueError, match="which tasks are present"):
        tx.update(PARAMS, state, PARAMS, owners={"trunk": (0, 1), "a": (0,), "b": (1,)})
    with pytest.raises(ValueError, match="which task owns which parameters"):
        tx.update(PARAMS, state, PARAMS, present=BOTH)
    with pytest.raises(ValueError, match="owners name task 2; present has 2 tasks"):
        tx.update(PARAMS, state, PARAMS, present=BOTH, owners={"trunk": (0, 1), "a": (0,), "b": (2,)})
