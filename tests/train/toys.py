"""A small model and three tasks with uneven masks, for tests of the steps."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import mtljax as mtl
from mtljax import train
from mtljax.train.config.experiment import balancer_of

LABELS = {"a": 2, "b": 1, "c": 1}
BATCH = 16
SGD = optax.sgd(1e-3)  # one for all tests, so that steps with it are compiled once


class Encoder(nn.Module):
    norm: str = "none"
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Dense(12, use_bias=False, name="first")(x))
        if self.norm == "batch":
            x = nn.BatchNorm(use_running_average=not train, axis_name=self.axis_name, momentum=0.9)(x)
        return jnp.tanh(nn.Dense(8, name="last")(x))


def regression(name, channels):
    def loss(prediction, batch):
        valid = batch[f"{name}_valid"].astype(jnp.float32)
        error = jnp.where(valid > 0, (prediction - batch[name]) ** 2, 0.0)
        return jnp.sum(error), jnp.sum(valid)

    def sums(prediction, batch):
        total, count = loss(prediction, batch)
        return {"squared": total, "count": count}

    return mtl.Task(
        name=name,
        head=mtl.heads.Linear(channels),
        labels=(name,),
        loss=loss,
        metrics=(mtl.Metric("MSE", False, lambda s: s["squared"] / s["count"]),),
        sums=sums,
        constant=lambda batch: batch[name][..., :].mean(0),
        draw=None,
    )


TASKS = {name: regression(name, channels) for name, channels in LABELS.items()}


def model(norm="none", axis_name=None):
    return mtl.MultiTask(Encoder(norm, axis_name), {name: task.head for name, task in TASKS.items()})


def batch(seed=0, bad=None, absent=()):
    """Labels whose masks differ wildly along the batch: whole shards of eight have none of a task."""
    rng = np.random.default_rng(seed)
    out = {"image": rng.normal(size=(BATCH, 6)).astype(np.float32)}
    for i, (name, channels) in enumerate(LABELS.items()):
        out[name] = (10.0**i * rng.normal(size=(BATCH, channels))).astype(np.float32)
        out[f"{name}_valid"] = (rng.uniform(size=(BATCH, 1)) < np.linspace(0, 1, BATCH)[:, None] ** (i + 1)) & (
            name not in absent
        )
    if bad is not None:
        out["image"][:] = bad
    return out


def setup(balance="pcgrad", measure="shared", spread=None, norm="none", optimizer=None, clip_norm=0.0):
    """A state and a step; on one replica without an axis, or spread."""
    if spread is None:
        return _on_one(balance, measure, norm, optimizer, clip_norm)
    state, step = _parts(balance, measure, spread, norm, optimizer, clip_norm)
    return spread.place_state(state), spread.train(step)


@functools.cache
def _on_one(*chosen):
    """Made and compiled once: the step leaves the state that it is given as it is."""
    balance, measure, norm, optimizer, clip_norm = chosen
    state, step = _parts(balance, measure, None, norm, optimizer, clip_norm)
    return state, jax.jit(step)


@functools.cache
def _variables(norm):
    return jax.jit(model(norm).init)(jax.random.key(0), jnp.ones((2, 6)))


def _parts(balance, measure, spread, norm, optimizer, clip_norm):
    axis = None if spread is None else spread.axis
    m = model(norm, axis)
    balancer = balancer_of(balance, len(TASKS), seed=0)
    variables = jax.tree.map(jnp.copy, _variables(norm))  # a step may write where its state was
    transforms = {group: optimizer or optax.adam(1e-2) for group in ("shared", *TASKS)}
    tx = train.partition(transforms, m.groups(variables["params"]), clip_norm)
    step = train.make_train_step(m, TASKS, balancer, tx, measure=measure, spread=spread)
    return train.create(variables, balancer, tx), step


@functools.cache
def _run_on_one(steps, *chosen):
    state, step = _on_one(*chosen)
    return _taken(state, step, steps, lambda batch: batch)


def run(spread=None, steps=3, *, balance="pcgrad", measure="shared", norm="none", optimizer=None, clip_norm=0.0):
    """Parameters and statistics after a few steps, and the last report, as NumPy arrays; on one replica, run once."""
    chosen = (balance, measure, norm, optimizer, clip_norm)
    if spread is None:
        return _run_on_one(steps, *chosen)
    return _taken(*setup(balance, measure, spread, *chosen[2:]), steps, spread.place_batch)


def _taken(state, step, steps, place):
    for i in range(steps):
        state, report = step(state, place(batch(i)))
    return jax.tree.map(np.asarray, ((state.params, state.model_state), report))
