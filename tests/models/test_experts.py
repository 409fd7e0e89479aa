"""The gates of DSelect-k: how they start, and what they come to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import models
from mtljax.models.sharing import experts
from mtljax.models.sharing.experts import smooth_step
from tests.models.test_sharing import MLP, X, init


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
    gate = experts._Selectors(number, 2, 1.0, per_example=True)
    digits = jax.random.uniform(jax.random.key(6), (4, 36, 36, 1)) ** 2
    (shares, _), variables = gate.init_with_output(jax.random.key(0), digits, True)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert (shares > 0.3 / number).all()
    for part, reach in (("codes", 0.01), ("selectors", 0.05)):
        kernel, bias = (variables["params"][part][leaf] for leaf in ("kernel", "bias"))
        assert -reach <= kernel.min() < -0.9 * reach < 0.9 * reach < kernel.max() <= reach
        assert 0 < jnp.abs(bias).max() <= reach

    def first(params):
        return jnp.sum(gate.apply({"params": params}, digits, True)[0][:, 0])

    gradient = jax.grad(first)(variables["params"])["codes"]["kernel"]
    assert (jnp.abs(gradient).max(axis=0) > 0).all()


@pytest.mark.parametrize("number", [3, 6])
def test_a_selector_of_no_expert_takes_all_alike(number):
    """A code that stands for a number beyond the last expert's does not make features 0."""
    gate = experts._Selectors(number, 1, 1.0, per_example=False)
    settled = {"kernel": jnp.full((1, 2 if number == 3 else 3), 9.0), "bias": jnp.zeros(2 if number == 3 else 3)}
    params = {"codes": settled, "selectors": {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}}
    shares, _ = gate.apply({"params": params}, X, True)
    np.testing.assert_allclose(shares, np.full((len(X), number), 1 / number), rtol=1e-5)


def test_a_smooth_step_is_smooth():
    x = jnp.linspace(-1, 1, 201)
    y = smooth_step(x, 1.0)
    assert (y[0], y[-1]) == (0, 1)
    assert (jnp.diff(y) >= -1e-6).all()
    slopes = jax.vmap(jax.grad(lambda x: smooth_step(x, 1.0)))(jnp.array([-0.4999, 0.4999]))
    np.testing.assert_allclose(slopes, 0, atol=2e-3)
