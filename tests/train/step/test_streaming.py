"""Training steps that never hold the Jacobian: the same updates as those that do."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.balance import branches, linearize_at
from mtljax.errors import UserError
from mtljax.train.config.experiment import balancer_of
from mtljax.train.step import gradients, streaming
from mtljax.train.step.gradients import balanced_gradient
from tests.train import toys

BATCHES = [toys.batch(0), toys.batch(1, absent=("b",)), toys.batch(2)]
BATCHES[2]["a"][-1] = np.inf


class Encoder(nn.Module):
    """With all that makes a forward pass more than a function of its input."""

    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Dense(16, use_bias=False, dtype=self.dtype)(x))
        x = nn.BatchNorm(use_running_average=not train, axis_name=self.axis_name, dtype=jnp.float32)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return jnp.tanh(nn.Dense(8, name="last")(x))


def model(axis=None, dtype=None, remat=False):
    return mtl.MultiTask(Encoder(axis, dtype), {name: task.head for name, task in toys.TASKS.items()}, remat=remat)


@functools.cache
def variables_of_all():
    return jax.jit(model().init)(jax.random.key(0), jnp.ones((2, 6)))


def found(balance, streamed, spread=None, **kwargs):
    """What the steps leave: one of all tasks, one without labels of one, one whose loss is infinite."""
    spread = spread and spread()
    m, balancer = model(spread and spread.axis, **kwargs), balancer_of(balance, 3, seed=0)
    variables = jax.tree.map(jnp.copy, variables_of_all())  # a step may write where its state was
    tx = train.partition(dict.fromkeys(("shared", *toys.TASKS), optax.sgd(1e-2)), m.groups(variables["params"]))
    made = train.make_train_step(m, toys.TASKS, balancer, tx, spread=spread, streamed=streamed)
    state = train.create(variables, balancer, tx)
    state, step, place = (state, jax.jit(made), lambda x: x) if spread is None else (
        spread.place_state(state), spread.train(made), spread.place_batch)  # fmt: skip
    reports = []
    for batch in BATCHES:
        state, report = step(state, place(batch))
        reports.append({key: report[key] for key in ("losses", "present", "weights", "finite", "cosines")})
    return jax.tree.map(np.asarray, (state.params, state.model_state, reports))


SLOW = pytest.mark.slow
COMPOSED = "compose(constant(weights=(2.0, 1.0, 0.5)), imtl_g())"


@pytest.mark.parametrize("backend", ["cpu", pytest.param("gpu", marks=SLOW)])
@pytest.mark.parametrize(
    ("balance", "kwargs", "tolerance"),
    [
        (COMPOSED, {}, 1e-4),
        pytest.param(COMPOSED, {"spread": lambda: train.mesh(data=2, fsdp=2, smallest=8)}, 1e-4, marks=SLOW),
        pytest.param(COMPOSED, {"spread": train.pmap}, 1e-4, marks=SLOW),
        pytest.param("nash_mtl", {"remat": True}, 1e-4, marks=SLOW),
        pytest.param(COMPOSED, {"dtype": jnp.bfloat16}, 5e-2, marks=SLOW),  # a sum is rounded once, not each row
    ],
    ids=["one device", "mesh", "pmap", "remat", "bfloat16"],
)
def test_updates_are_those_of_steps_that_hold_the_jacobian(backend, balance, kwargs, tolerance, monkeypatch):
    """On an accelerator, what is made element by element is made again."""
    again = set()

    def told(*args, recompute, **kwargs):
        again.add(recompute)
        return linearize_at(*args, recompute=recompute, **kwargs)

    monkeypatch.setattr(streaming, "branches_pay", lambda: backend == "cpu")
    monkeypatch.setattr(streaming, "linearize_at", told)
    expected = found(balance, False, **kwargs)
    assert [report["present"].tolist() for report in expected[2]] == [[True] * 3, [True, False, True], [True] * 3]
    assert [bool(report["finite"]) for report in expected[2]] == [True, True, False]
    near = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=0.1 * tolerance)
    jax.tree.map(near, found(balance, True, **kwargs), expected)
    assert again == {backend == "gpu"}


@pytest.mark.parametrize(
    ("balance", "kwargs", "told"),
    [
        ("graddrop", {}, "this balancer looks at every element"),
        ("pcgrad", {"measure": "features"}, "not to measure='features'"),
        ("pcgrad", {"accumulate": 2}, "with accumulate=2"),
    ],
)
def test_what_needs_a_jacobian_is_told(balance, kwargs, told):
    balancer = balancer_of(balance, 3, seed=0)
    with pytest.raises(UserError, match=rf"{told}.*xpected jacobian='auto', 'unrolled' or 'vmap'"):
        balanced_gradient(toys.model(), toys.TASKS, balancer, **{"measure": "shared", **kwargs}, streamed=True)


def test_a_balancer_that_sees_losses_holds_none_anyway():
    balanced_gradient(toys.model(), toys.TASKS, mtl.equal(3), "features", streamed=True)


def test_the_default_streams_on_an_accelerator_where_rows_are_large(monkeypatch):
    made = []

    class Told(streaming.Streaming):
        def __init__(self, replica):
            made.append(replica)
            super().__init__(replica)

    monkeypatch.setattr(gradients, "Streaming", Told)
    m, variables = model(), jax.eval_shape(lambda: variables_of_all())
    rows = 3 * sum(leaf.size * 4 for leaf in jax.tree.leaves(variables["params"]))

    def streams(balance, measure="shared", accumulate=1, streamed=None):
        made.clear()
        balancer = balancer_of(balance, 3, seed=0)
        options = {"measure": measure, "accumulate": accumulate, "streamed": streamed}
        tx = train.partition(dict.fromkeys(("shared", *toys.TASKS), optax.sgd(1e-2)), m.groups(variables["params"]))
        step = train.make_train_step(m, toys.TASKS, balancer, tx, **options)
        state = jax.eval_shape(lambda: train.create(variables_of_all(), balancer, tx))
        jax.eval_shape(step, state, BATCHES[0])
        return bool(made)

    monkeypatch.setattr(streaming, "_MANY", rows)
    assert not streams("imtl_g()")  # on the CPU, where it takes longer
    monkeypatch.setattr(branches, "_backend", lambda: "gpu")
    assert streams("imtl_g()")
    assert not streams("imtl_g()", streamed=False)
    assert [streams("imtl_g()", accumulate=2), streams("imtl_g()", measure="features")] == [False, False]
    assert [streams("graddrop()"), streams("equal()"), streams("modo()")] == [False, False, False]
    monkeypatch.setattr(streaming, "_MANY", rows + 1)
    assert not streams("imtl_g()")
