"""Programs that are run in step: the same numbers, and an order that no compiler may change."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax.balance.linearized.cuts import cuts
from mtljax.balance.linearized.in_step import in_order, in_step

ONE = jnp.ones(())


def program(scale):
    """What it gives is made in the order b, c, a, some of it in programs inside; c is a constant."""

    def made(one):
        first = one * scale * jnp.arange(3.0)
        second = jax.jit(lambda x: jax.jit(jnp.sin)(x) + 1)(first)
        third = jax.lax.scan(lambda carry, x: (carry + x, carry * x), second, second * jnp.ones((4, 3)))[0]
        return {"a": third * second, "b": second, "c": jnp.ones(3)}

    return made


def test_places_are_used_as_they_are_made_and_hold_what_the_programs_give():
    order = []

    def use(state, found):
        order.append([np.asarray(leaf) for leaf in found])
        return (state[0] + 1,)

    (count,) = in_step([program(0.5), program(2.0)], ONE, [0, 1], use, (jnp.zeros(()),))
    expected = [program(scale)(ONE) for scale in (0.5, 2.0)]
    assert count == 2
    for found, name in zip(order, ("b", "a"), strict=True):
        np.testing.assert_allclose(found, [each[name] for each in expected], rtol=1e-6)


def narrow_between(number=3, wide=64):
    """Layers of which each gives a wide row; what they hand on is narrow, but for one number more at the first."""

    def made(one):
        given, x = [], one * (jnp.arange(2.0) + 1)
        for _ in range(number):
            inside = jnp.sin(jnp.tile(x, wide))  # what is inside a layer is as wide
            given += [jnp.exp(inside) - 1, inside.sum()[None]]
            x = inside.reshape(-1, 2).mean(0)
        return given

    return made


def test_what_comes_next_depends_on_what_was_used():
    """Were the state not finite, which it is, nothing would be left of what follows a cut."""
    found = []

    def use(state, leaves):
        found.append(leaves[0])
        return (jnp.full((), jnp.nan),)

    in_step([narrow_between(number=2)] * 2, ONE, range(4), use, (jnp.zeros(()),))
    assert [bool(np.any(row != 0)) for row in found] == [True, True, False, False]


def test_programs_run_one_after_the_other_up_to_a_cut():
    """What the second of them begins with depends on what the first has made since; and little is held at a cut."""
    programs = [narrow_between(), narrow_between()]

    def summed(x):
        state = (x,)
        return in_step(
            programs, ONE, range(6), lambda state, rows: (state[0] + sum(row.sum() for row in rows),), state
        )[0]

    equations = jax.make_jaxpr(summed)(0.0).eqns
    made_by = {var: equation for equation in equations for var in equation.outvars}

    def before(equation, seen):
        for var in equation.invars:
            inner = None if hasattr(var, "val") else made_by.get(var)
            if inner is not None and id(inner) not in seen:
                seen[id(inner)] = inner
                before(inner, seen)
        return seen

    held = [equation.outvars[0].aval.size for equation in equations if equation.params.get("name") == "_where"]
    assert sorted(set(held)) == [1, 2]  # what comes before each program, and what layers hand on
    exponentials = [equation for equation in equations if equation.primitive.name == "exp"]
    assert len(exponentials) == 6
    for first, second in itertools.pairwise(exponentials):
        assert id(first) in before(second, {})


def test_cuts_hold_little_and_are_few():
    assert cuts([], [], []) == []
    assert cuts([5], [0], [0]) == [range(1)]
    assert cuts([1, 1, 1, 1], [8, 0, 8, 0], [0, 0, 0, 0]) == [range(2), range(2, 4)]
    assert cuts([8, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]) == [range(1), range(1, 4)]  # as few as the first part allows


@pytest.mark.parametrize("seed", range(4))
def test_no_other_cuts_hold_less_or_are_fewer(seed):
    given, kept, needed = np.random.default_rng(seed).integers(0, 20, (3, 9)).tolist()

    def held(part):
        before = kept[part.start - 1] if part.start else 0
        return sum(given[i] for i in part) + max(needed[i] for i in part) + max(before, kept[part.stop - 1])

    ways = [
        [range(*ends) for ends in itertools.pairwise((0, *inner, 9))]
        for number in range(9)
        for inner in itertools.combinations(range(1, 9), number)
    ]
    least = min(max(map(held, way)) for way in ways)
    few = min(len(way) for way in ways if max(map(held, way)) == least)
    found = cuts(given, kept, needed)
    assert (max(map(held, found)), len(found)) == (least, few)


def test_not_finite_numbers_pass_as_they_are():
    def made(one):
        return [one * jnp.full(4, jnp.nan), one * jnp.full(4, jnp.inf) * jnp.arange(4.0)]

    def use(state, rows):
        found.extend(rows)
        return state

    found = []
    in_step([made, made], ONE, range(2), use, (jnp.zeros(()),))
    np.testing.assert_array_equal(found[:2], np.full((2, 4), np.nan))
    np.testing.assert_array_equal(found[2:], [[np.nan, np.inf, np.inf, np.inf]] * 2)


def checkpointed(layers, wide):
    """The derivative of layers, each of which makes again what lies between it and the one before."""
    layer = jax.checkpoint(lambda x, w: jnp.sin(x @ w), policy=jax.checkpoint_policies.dots_saveable)

    def summed(ws):
        x = jnp.ones((2, wide))
        for w in ws:
            x = layer(x, w)
        return x.sum()

    ws = [jnp.eye(wide) + 0.1 * i for i in range(layers)]
    tangent = jax.linearize(summed, ws)[1]
    return jax.grad(summed)(ws), lambda one: jax.linear_transpose(tangent, ws)(one)[0]


def behind_cosines(function):
    """Names of the operations that are behind each cosine, and whether the input is."""
    jaxpr = jax.make_jaxpr(function)(ONE).jaxpr
    assert not [equation for equation in jaxpr.eqns if equation.primitive.name in ("remat2", "checkpoint")]
    made_by = {var: equation for equation in jaxpr.eqns for var in equation.outvars}

    def behind(equation):
        found = {}
        for var in equation.invars:
            if not hasattr(var, "val"):
                found[var] = "constant" if var in jaxpr.constvars else "input"
                if var in made_by:
                    found |= {var: made_by[var].primitive.name} | behind(made_by[var])
        return found

    return [list(behind(one).values()) for one in jaxpr.eqns if one.primitive.name == "cos"]


def test_what_is_made_again_is_made_after_what_comes_before_it_on_the_way_back():
    expected, program = checkpointed(layers=3, wide=4)
    jax.tree.map(np.testing.assert_array_equal, in_order(program, ONE), expected)
    found = behind_cosines(lambda one: in_order(program, one))
    # The last layer's first; then, after a gradient, the one before, and after what leads to the next, that.
    assert sorted(names.count("dot_general") for names in found) == [0, 1, 3]


def test_nothing_is_made_again_before_it_may_be():
    _, program = checkpointed(layers=2, wide=4)

    def use(state, rows):
        return (state[0] + sum(row.sum() for row in rows),)

    found = behind_cosines(lambda x: in_step([program] * 2, ONE, range(2), use, (jnp.zeros(()),), after=[x])[0])
    assert len(found) == 4
    assert all("input" in names for names in found)
    assert len({names.count("dot_general") for names in found}) == 4  # each program makes it for itself, in its turn


def test_what_is_made_again_is_let_go_at_a_cut():
    kept = jnp.arange(64.0)

    def made(one):
        def both(kept, one):
            cosine = jnp.cos(kept)
            first = one * cosine
            return first, first.sum() * cosine

        return jax.checkpoint(both)(kept, one)

    def use(state, rows):
        return (state[0] + sum(row.sum() for row in rows),)

    found = behind_cosines(lambda x: in_step([made] * 2, ONE, range(2), use, (jnp.zeros(()),), after=[x])[0])
    assert len(found) == 4  # by each program, before the cut and after it
