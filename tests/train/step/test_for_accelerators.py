"""Training steps lowered for GPUs and TPUs, where none is: what they hold, and that nothing of it asks the host."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.balance import branches
from mtljax.train.config.experiment import balancer_of

TASKS = {name: mtl.tasks.classify(num_classes=3, label=name, name=name) for name in "ab"}
MODEL = mtl.MultiTask(mtl.encoders.MLP((8,)), {name: task.head for name, task in TASKS.items()})
QUICK = ("imtl_g()", "upgrad()")
SLOW = (
    "pcgrad()",
    "nash_mtl()",
    "cagrad()",
    "aligned_mtl()",
    "config()",
    "gradnorm()",
    "graddrop()",
    "db_mtl()",
    "mgda()",
)
ON_DEVICE = re.compile(r"cusolver_\w+|Eigh|Qr|ProductOfElementaryHouseholderReflectors")  # decompositions


def lowered(balance: str, platform: str) -> str:
    variables = jax.eval_shape(MODEL.init, jax.random.key(0), jax.ShapeDtypeStruct((2, 4), jnp.float32))
    balancer = balancer_of(balance, len(TASKS), seed=0)
    tx = train.partition(dict.fromkeys(("shared", *TASKS), optax.adam(1e-3)), MODEL.groups(variables["params"]))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables)
    batch = {"image": jax.ShapeDtypeStruct((4, 4), jnp.float32)}
    batch |= {name: jax.ShapeDtypeStruct((4,), jnp.int32) for name in TASKS}
    batch |= {f"{name}_valid": jax.ShapeDtypeStruct((4,), bool) for name in TASKS}
    state = jax.eval_shape(lambda: train.create(zeros, balancer, tx))
    step = jax.jit(train.make_train_step(MODEL, TASKS, balancer, tx))
    return step.trace(state, batch).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("balance", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_step_lowers_and_asks_nothing_of_the_host(balance, platform, monkeypatch):
    monkeypatch.setattr(branches, "_backend", lambda: {"cuda": "gpu"}.get(platform, platform))
    text = lowered(balance, platform)
    assert "stablehlo.dot_general" in text
    called = set(re.findall(r"custom_call @(\w+)", text))
    assert [name for name in called if not ON_DEVICE.fullmatch(name)] == []
    assert not re.search(r"stablehlo\.(infeed|outfeed|send|recv)\b", text)


def test_a_callback_would_be_seen():
    tells = jax.jit(lambda x: jax.debug.print("{}", x)).trace(1.0)
    with pytest.raises(ValueError, match="different from the lowering platform cuda"):
        tells.lower(lowering_platforms=("cuda",))
