"""Groups of parameters, each with a balancer of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.config.experiment import balancer_of

RNG = np.random.default_rng(0)
T = 3
PARAMS = {"conv1": {"kernel": jnp.zeros((2, 4)), "bias": jnp.zeros(4)}, "conv2": {"kernel": jnp.zeros(5)}}
PARAMS["head"] = {"kernel": jnp.zeros(3)}
LOSSES = jnp.array([1.0, 2.0, 0.5])
JACOBIAN = jax.tree.map(lambda x: jnp.asarray(RNG.normal(size=(T, *x.shape)), jnp.float32), PARAMS)
JACOBIAN["head"] = {"kernel": jnp.ones(3)}  # of the second task alone
OWNERS = jax.tree.map(lambda x: (0, 1, 2), PARAMS) | {"head": {"kernel": (1,)}}


def alone(balancer, names, steps, **known):
    """What a balancer gives for some groups of parameters, step after step."""
    params, jacobian = ({name: tree[name] for name in names} for tree in (PARAMS, JACOBIAN))
    return run(balancer, params, jacobian, steps, **known)


def run(balancer, params, jacobian, steps, **known):
    state, found = balancer.init(params), []
    for i in range(steps):
        direction, state = balancer.update(jax.tree.map(lambda x, i=i: x * (i + 1), jacobian), state, params, **known)
        found.append(direction)
    return found, state


def test_each_group_is_balanced_as_if_it_were_alone():
    known = {"losses": LOSSES}
    grouped = mtl.per_group({"conv1": mtl.gradnorm(T), "conv2/kernel": mtl.gradnorm(T, lr=0.1), ".*": mtl.graddrop(T)})
    found, state = run(grouped, PARAMS, JACOBIAN, 2, **known)
    for balancer, name in ((mtl.gradnorm(T), "conv1"), (mtl.gradnorm(T, lr=0.1), "conv2")):
        wanted, own = alone(balancer, [name], 2, **known)
        for now, right in zip(found, wanted, strict=True):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), now[name], right[name])
        np.testing.assert_allclose(state.rule[name == "conv2"].weights, own.weights, rtol=1e-5)
    np.testing.assert_array_equal(found[0]["head"]["kernel"], JACOBIAN["head"]["kernel"])


def test_it_is_what_partition_does():
    labels = {"conv1": {"kernel": "a", "bias": "a"}, "conv2": {"kernel": "b"}, "head": {"kernel": "rest"}}
    split = optax.partition({"a": mtl.graddrop(T), "b": mtl.equal(T), "rest": optax.identity()}, labels)
    wanted, _ = split.update(JACOBIAN, split.init(PARAMS), PARAMS, losses=LOSSES)
    grouped = mtl.per_group([("conv1", mtl.graddrop(T)), ("conv2", mtl.equal(T))])
    found, _ = grouped.update(JACOBIAN, grouped.init(PARAMS), PARAMS, losses=LOSSES)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, wanted)


def test_the_first_match_wins_and_a_loss_weighting_scales_its_groups_heads():
    weighted = mtl.constant(T, weights=(1.0, 5.0, 1.0))
    known = {"losses": LOSSES, "owners": OWNERS}
    (found,), _ = run(mtl.per_group([("conv1/bias", mtl.sum(T)), (".*", weighted)]), PARAMS, JACOBIAN, 1, **known)
    np.testing.assert_allclose(found["conv1"]["bias"], JACOBIAN["conv1"]["bias"].sum(0), rtol=1e-5)
    np.testing.assert_allclose(found["head"]["kernel"], 5.0)
    (found,), _ = run(mtl.per_group([("conv.*", weighted)]), PARAMS, JACOBIAN, 1, **known)
    np.testing.assert_allclose(found["head"]["kernel"], 1.0)


def test_a_row_that_is_bad_in_one_group_is_told():
    bad = JACOBIAN | {"conv2": {"kernel": JACOBIAN["conv2"]["kernel"].at[0, 0].set(jnp.nan)}}
    balancer = mtl.per_group({"conv1": mtl.equal(T), ".*": mtl.equal(T)})
    _, state = balancer.update(bad, balancer.init(PARAMS), PARAMS, losses=LOSSES)
    assert state.present.tolist() == [False, True, True]
    assert [rule.present.tolist()[0] for rule in state.rule] == [True, False]


def test_groups_of_one_seed_draw_their_own_numbers():
    state = mtl.per_group({"conv1": mtl.pcgrad(T), "conv2": mtl.pcgrad(T)}).init(PARAMS)
    first, second = (jax.random.key_data(jax.tree.leaves(rule.rule)[0]).tolist() for rule in state.rule)
    assert first != second
    assert first == jax.random.key_data(jax.tree.leaves(mtl.pcgrad(T).init(PARAMS).rule)[0]).tolist()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"conv3.*": mtl.equal(T)}, r"group 'conv3.\*' matches no parameter; did you mean 'conv[12]"),
        ({".*": mtl.equal(T), "conv1": mtl.sum(T)}, "patterns before it match all that it does, 'conv1/bias' first"),
        ({"conv1/kernel": mtl.equal(T)}, r"no group matches 2 of the .* share: conv1/bias, conv2/kernel\. Expected"),
    ],
)
def test_groups_that_do_not_fit_the_parameters_are_told(groups, message):
    balancer = mtl.per_group(groups)
    with pytest.raises(ValueError, match=message):
        balancer.update(JACOBIAN, balancer.init(PARAMS), PARAMS, losses=LOSSES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("per_group([])", "at least one group"),
        ("per_group([('a', 'b')])", r"pairs such as .*, not \('a', 'b'\)"),
        ("per_group([('(', equal())])", "no regular expression"),
        ("per_group([('a', equal()), ('a', sum())])", "'a' is there twice"),
        ("per_group([('a', modo()), ('b', xtc())])", None),
    ],
)
def test_wrong_groups_are_told(text, message):
    if message is None:
        assert balancer_of(text, T, 0).samples == 3
        return
    with pytest.raises(UserError, match=message):
        balancer_of(text, T, 0)
    with pytest.raises(ValueError, match="balancers whose num_tasks are 2 and 3"):
        mtl.per_group({"a": mtl.equal(2), "b": mtl.equal(3)})
