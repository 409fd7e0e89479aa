"""Mixtures of experts against their definitions; how the gates of DSelect-k start, and what they come to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import models
from mtljax.models.sharing import dselect_k
from mtljax.models.sharing.dselect_k import smooth_step
from tests.models.toys import HEADS, MLP, X, assert_close, init


@pytest.mark.slow
def test_dselect_k_selects_at_most_k_experts_after_training():
    model = mtl.DSelectK({"a": mtl.heads.Linear(1)}, MLP, experts=6, k=2, entropy=0.1, per_example=False)
    x = jax.random.normal(jax.random.key(5), (64, 6))
    target = jnp.sin(x[:, :1])
    params = init(model, x)["params"]
    tx = optax.adam(1e-2)

    @jax.jit
    def step(params, state):
        def loss(params):
            predictions, sown = model.apply({"params": params}, x, train=True, mutable=[models.PENALTIES])
            [penalty] = sown[models.PENALTIES]["a"]
            return jnp.mean((predictions["a"] - target) ** 2) + penalty

        updates, state = tx.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    def selected(params):
        def gate(model):
            return model.gates["a"](x, False)[0]

        return np.array(jax.jit(lambda p: model.apply({"params": p}, method=gate))(params) > 1e-3).sum(axis=1)

    assert selected(params).min() > 2
    state = tx.init(params)
    for _ in range(400):
        params, state = step(params, state)
    assert selected(params).max() <= 2


def test_dselect_k_starts_undecided_on_images():
    """On digits, whose pixels are all positive, every expert has a share and every digit of the codes learns."""
    number = 6
    gate = dselect_k._Selectors(number, 2, 1.0, per_example=True)
    digits = jax.random.uniform(jax.random.key(6), (4, 36, 36, 1)) ** 2
    (shares, _), variables = jax.jit(lambda: gate.init_with_output(jax.random.key(0), digits, True))()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert (shares > 0.3 / number).all()
    for part, reach in (("codes", 0.01), ("selectors", 0.05)):
        kernel, bias = (variables["params"][part][leaf] for leaf in ("kernel", "bias"))
        assert -reach <= kernel.min() < -0.9 * reach < 0.9 * reach < kernel.max() <= reach
        assert 0 < jnp.abs(bias).max() <= reach

    def first(params):
        return jnp.sum(gate.apply({"params": params}, digits, True)[0][:, 0])

    gradient = jax.jit(jax.grad(first))(variables["params"])["codes"]["kernel"]
    assert (jnp.abs(gradient).max(axis=0) > 0).all()


@pytest.mark.parametrize("number", [3, 6])
def test_a_selector_of_no_expert_takes_all_alike(number):
    """A code that stands for a number beyond the last expert's does not make features 0."""
    gate = dselect_k._Selectors(number, 1, 1.0, per_example=False)
    settled = {"kernel": jnp.full((1, 2 if number == 3 else 3), 9.0), "bias": jnp.zeros(2 if number == 3 else 3)}
    params = {"codes": settled, "selectors": {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}}
    shares, _ = jax.jit(lambda: gate.apply({"params": params}, X, True))()
    np.testing.assert_allclose(shares, np.full((len(X), number), 1 / number), rtol=1e-5)


def test_a_smooth_step_is_smooth():
    x = jnp.linspace(-1, 1, 201)
    y = smooth_step(x, 1.0)
    assert (y[0], y[-1]) == (0, 1)
    assert (jnp.diff(y) >= -1e-6).all()
    slopes = jax.vmap(jax.grad(lambda x: smooth_step(x, 1.0)))(jnp.array([-0.4999, 0.4999]))
    np.testing.assert_allclose(slopes, 0, atol=2e-3)


def test_one_expert_is_multitask():
    model = mtl.MMoE(HEADS, MLP, experts=1)
    params = init(model, X)["params"]
    hard = {"params": {"encoder": params["shared_experts_0"], **{f"heads_{t}": params[f"heads_{t}"] for t in HEADS}}}
    assert_close(model.apply({"params": params}, X), mtl.MultiTask(MLP, HEADS).apply(hard, X))


def test_mmoe_is_its_definition():
    model = mtl.MMoE(HEADS, MLP, experts=3)
    params = init(model, X)["params"]
    gate = jax.nn.softmax(X @ params["gates_b"]["logits"]["kernel"])
    experts = [MLP.apply({"params": params[f"shared_experts_{e}"]}, X) for e in range(3)]
    z = sum(gate[:, e, None] * experts[e] for e in range(3))
    wanted = HEADS["b"].apply({"params": params["heads_b"]}, z)
    assert_close(model.apply({"params": params}, X), {**model.apply({"params": params}, X), "b": wanted})


def test_ple_with_one_level_is_cgc():
    cgc = mtl.CGC(HEADS, MLP, shared=2, own=1)
    ple = mtl.PLE(HEADS, MLP, shared=2, own=1, levels=1)
    variables = init(cgc, X)
    assert_close(cgc.apply(variables, X), ple.apply(variables, X))
    gate = jax.nn.softmax(X @ variables["params"]["gates_a_0"]["logits"]["kernel"])
    parts = [variables["params"][n] for n in ("own_experts_a_0_0", "shared_experts_0_0", "shared_experts_0_1")]
    z = sum(gate[:, e, None] * MLP.apply({"params": part}, X) for e, part in enumerate(parts))
    wanted = HEADS["a"].apply({"params": variables["params"]["heads_a"]}, z)
    np.testing.assert_allclose(cgc.apply(variables, X)["a"], wanted, rtol=1e-5, atol=1e-6)
