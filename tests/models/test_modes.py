"""Training reaches encoders and heads of others, whatever they call it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl

X = jnp.ones((4, 6, 6, 3))


class BySignature(nn.Module):
    vectors: bool = False

    @nn.compact
    def __call__(self, x, deterministic=True):
        x = nn.Dropout(0.5)(nn.Dense(8)(x), deterministic=deterministic)
        return x.mean(axis=(1, 2)) if self.vectors else x


class ByEither(BySignature):
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, x, deterministic=None):
        off = nn.merge_param("deterministic", self.deterministic, deterministic)
        x = nn.Dropout(0.5)(nn.Dense(8)(x), deterministic=off)
        return x.mean(axis=(1, 2)) if self.vectors else x


class ByField(BySignature):
    deterministic: bool = True

    def setup(self):
        self.dense, self.dropped = nn.Dense(8), nn.Dropout(0.5)

    def __call__(self, x):
        x = self.dropped(self.dense(x), deterministic=self.deterministic)
        return x.mean(axis=(1, 2)) if self.vectors else x


class ByTraining(BySignature):
    training: bool = False
    inner: nn.Module = nn.Dense(8)

    @nn.compact
    def __call__(self, x):
        x = nn.Dropout(0.5)(self.inner(x), deterministic=not self.training)
        return x.mean(axis=(1, 2)) if self.vectors else x


KINDS = [BySignature, ByEither, ByField, ByTraining]
HEADS = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
WAYS = {
    "MultiTask": lambda kind: mtl.MultiTask(kind(), HEADS),
    "SingleTask": lambda kind: mtl.SingleTask(kind(), HEADS),
    "MTAN": lambda kind: mtl.MTAN(kind(), HEADS, norm="none"),
    "PADNet": lambda kind: mtl.PADNet(kind(), HEADS, width=4),
    "MMoE": lambda kind: mtl.MMoE(HEADS, kind(vectors=True), experts=2),
    "CGC": lambda kind: mtl.CGC(HEADS, kind(vectors=True), shared=1, own=1),
    "DSelectK": lambda kind: mtl.DSelectK(HEADS, kind(vectors=True), experts=2, k=1),
    "MultiTask again": lambda kind: mtl.MultiTask(kind(), HEADS, remat=True),
}


def dropped(model, x=X):
    """How many units each call of a dropout drops: {call: share}, in training and not."""
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    shares = {}

    def watch(method, args, kwargs, context):
        result = method(*args, **kwargs)
        if isinstance(context.module, nn.Dropout):
            deterministic = nn.merge_param(
                "deterministic", context.module.deterministic, kwargs.get("deterministic", (*args, None, None)[1])
            )
            shares.setdefault(mode, []).append(not deterministic)
        return result

    with nn.intercept_methods(watch):
        for mode in (True, False):
            jax.eval_shape(
                lambda v: model.apply(v, x, train=mode, rngs={"dropout": jax.random.key(0)}, mutable=["penalties"]),  # noqa: B023
                variables,
            )
    return shares


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_dropout_is_on_in_training_and_off_after(way, kind):
    found = dropped(WAYS[way](kind))
    assert all(found[True])
    assert not any(found[False])
    assert len(found[True]) == len(found[False]) > 0


def test_what_is_dropped_changes_the_prediction():
    model = mtl.MultiTask(ByField(), HEADS)
    variables = jax.jit(model.init)(jax.random.key(0), X)
    on, off = (
        model.apply(variables, X, train=train, rngs={"dropout": jax.random.key(1)})["a"] for train in (True, False)
    )
    assert not np.allclose(on, off)
    np.testing.assert_array_equal(off, model.apply(variables, X)["a"])
    assert not np.allclose(on, model.apply(variables, X, train=True, rngs={"dropout": jax.random.key(2)})["a"])


def test_statistics_move_by_the_name_that_flax_has_for_it():
    class Normalised(nn.Module):
        @nn.compact
        def __call__(self, x, use_running_average):
            return nn.BatchNorm()(x, use_running_average=use_running_average)

    for encoder in (Normalised(), nn.BatchNorm()):
        model = mtl.MultiTask(encoder, HEADS)
        variables = jax.jit(model.init)(jax.random.key(0), 3 * X)
        _, changed = model.apply(variables, 3 * X, train=True, mutable=["batch_stats"])
        assert all(float(jnp.max(leaf)) != 0 for leaf in jax.tree.leaves(changed)), encoder
        _, same = model.apply(variables, 3 * X, mutable=["batch_stats"])
        jax.tree.map(np.testing.assert_array_equal, same["batch_stats"], variables["batch_stats"])


def test_what_was_frozen_stays_so():
    model = mtl.MultiTask(nn.BatchNorm(use_running_average=True), HEADS)
    variables = jax.jit(model.init)(jax.random.key(0), 3 * X)
    _, same = model.apply(variables, 3 * X, train=True, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, same["batch_stats"], variables["batch_stats"])
    always = mtl.MultiTask(ByField(deterministic=False), HEADS)
    assert all(dropped(always)[False])


def test_pure_pairs_and_chains_are_told_too():
    def init(key, x):
        return jnp.ones(x.shape[-1])

    pairs = [
        (init, lambda params, x, train: params * x * (2 if train else 1)),
        (init, lambda params, x, deterministic: params * x * (1 if deterministic else 2)),
        (init, lambda params, x, **context: params * x * (2 if context["train"] else 1)),
    ]

    class Doubled(nn.Module):
        def __call__(self, x, is_training=False):
            return x * (2 if is_training else 1)

    for encoder in (*pairs, nn.Sequential([Doubled(), nn.relu])):
        model = mtl.MultiTask(encoder, HEADS)
        variables = jax.jit(model.init)(jax.random.key(0), X)
        one, two = (model.apply(variables, X, train=train, method="encode") for train in (False, True))
        np.testing.assert_array_equal(two, 2 * one)
    plain = mtl.MultiTask(nn.Sequential([nn.Dense(4), nn.relu]), HEADS)
    assert jax.eval_shape(plain.init, jax.random.key(0), X)["params"]["encoder"]["layers_0"]["kernel"].shape == (3, 4)


def test_heads_are_told_as_encoders_are():
    class Head(nn.Module):
        @nn.compact
        def __call__(self, features, deterministic):
            return nn.Dropout(0.5)(nn.Dense(2)(features), deterministic=deterministic)

    model = mtl.MultiTask(mtl.encoders.MLP((8,)), {"a": Head()})
    assert dropped(model, jnp.ones((2, 3))) == {True: [True], False: [False]}
