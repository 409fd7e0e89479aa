"""What weight decay leaves out."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mtljax.errors import UserError
from mtljax.train.config import decay
from mtljax.train.config.experiment import optimizer_of
from tests.train.config.test_experiment import build, config


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.LayerNorm(name="norm")(nn.Dense(3, name="dense")(x)) + self.param("shift", nn.initializers.ones, (3,))


PARAMS = jax.tree.map(lambda p: p + 1, jax.jit(Net().init)(jax.random.key(0), jnp.ones((2, 4)))["params"])


def moved(text, no_decay):
    """The paths of parameters that an optimiser moves without any gradient: by their decay."""
    tx = optimizer_of(text, 10, no_decay=no_decay)
    still = jax.jit(lambda params: tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)[0])
    updates = jax.tree.map(np.asarray, still(PARAMS))
    leaves = jax.tree_util.tree_leaves_with_path(updates)
    return {jax.tree_util.keystr(p, simple=True, separator="/") for p, u in leaves if (u != 0).any()}


ALL = {"dense/kernel", "dense/bias", "norm/scale", "norm/bias", "shift"}


@pytest.mark.parametrize(
    ("no_decay", "left"),
    [("", ALL), ("norms and biases", {"dense/kernel"}), ("^norm/|shift", {"dense/kernel", "dense/bias"})],
)
def test_what_is_named_does_not_decay(no_decay, left):
    assert moved("adamw(1e-2, weight_decay=0.1)", no_decay) == left


@pytest.mark.parametrize(
    "text",
    [
        "chain(clip_by_global_norm(1.0), adamw(cosine_decay_schedule(1e-3, steps), weight_decay=0.1))",
        "chain(add_decayed_weights(0.1), sgd(1e-2))",
        "lion(1e-3, weight_decay=0.1)",
        "lamb(1e-3, weight_decay=0.1)",
        "lars(1e-3, 0.1)",
        "adafactor(1e-3, weight_decay_rate=0.1)",
    ],
)
def test_wherever_optax_decays_by_a_mask(text):
    assert moved(text, "norms and biases") == {"dense/kernel"}
    assert moved(text, "") == ALL


def test_a_decay_without_a_mask_is_told():
    with pytest.raises(UserError, match=r"no_decay='bias': novograd\(\) decays weights without a mask"):
        optimizer_of("novograd(1e-3, weight_decay=0.1)", 10, no_decay="bias")
    assert optimizer_of("novograd(1e-3)", 10, no_decay="bias")


def test_what_leaves_nothing_out_is_told():
    adamw = {"shared": "adamw(1e-3)"}
    with pytest.raises(UserError, match=r"no_decay='biases' matches no parameter; there are dense/bias, dense/kernel"):
        decay.check("biases", PARAMS, adamw)
    with pytest.raises(UserError, match=r"no_decay='bias': no optimiser decays weights by a mask; these do: .*adamw"):
        decay.check("bias", PARAMS, {"shared": "sgd(1e-3)", "a": "adam(1e-3)"})
    with pytest.raises(UserError, match=r"no_decay='\(': .*expected 'norms and biases' or a regular expression"):
        decay.decayed("(")
    decay.check("bias", PARAMS, adamw)


def test_keys_of_a_config_reach_the_optimiser():
    given = {"model": "MultiTask(encoder=MLP([4]))", "tasks": {"fine": "classify(num_classes=3, label='fine')"}}
    optimizers = {"shared": "adamw(1.0, weight_decay=0.5)", "fine": "sgd(1.0)"}
    parts = build(config(no_decay="norms and biases", clip_norm=0.5, optimizers=optimizers, **given))
    params = jax.tree.map(lambda p: jnp.ones(p.shape), parts.shapes(jnp.zeros((2, 1, 4, 4, 3)))["params"])
    tx = parts.optimizer(params)
    owners = jax.tree.map(lambda _: (0,), params)
    known = {"present": jnp.ones(1, bool), "owners": owners}
    update = jax.jit(lambda gradient: tx.update(gradient, tx.init(params), params, **known)[0])
    still = update(jax.tree.map(jnp.zeros_like, params))
    values = {p[-1].key: float(u.max()) for p, u in jax.tree_util.tree_leaves_with_path(still["encoder"])}
    assert (values["kernel"], values["bias"]) == (-0.5, 0.0)
    updates = update(params)
    heads = optax.tree.norm(updates["heads_fine"])
    assert 0.01 < heads < 0.5
    for changes in ({"clip_norm": -1.0}, {"clip_norm": float("nan")}):
        with pytest.raises(UserError, match=r"config.clip_norm=.*expected a positive number, or 0"):
            config(**changes)
