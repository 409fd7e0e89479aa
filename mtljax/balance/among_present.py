"""Sums over the tasks that are present."""

import jax
import jax.numpy as jnp


def count(present: jax.Array) -> jax.Array:
    """The number of present tasks, at least 1, float32."""
    return jnp.maximum(jnp.sum(present, dtype=jnp.float32), 1.0)


def mean(values: jax.Array, present: jax.Array) -> jax.Array:
    """The mean over present tasks; 0 where there is none."""
    return jnp.sum(jnp.where(present, values / count(present).astype(values.dtype), 0.0))


def softmax(logits: jax.Array, present: jax.Array) -> jax.Array:
    """The softmax over present tasks, (T,); 0 for absent ones."""
    return jnp.where(present, jax.nn.softmax(logits, where=present), 0.0)


def positive(losses: jax.Array) -> jax.Array:
    """The losses, (T,), at least 1e-8, what logarithms and quotients are taken of: no weight of more than 1e8."""
    return jnp.maximum(losses, 1e-8)


def uniform(num_tasks: int) -> jax.Array:
    """Equal shares, 1/T each, (T,) float32."""
    return jnp.full(num_tasks, 1 / num_tasks, jnp.float32)


def random_shares(present: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The softmax over present tasks of normal numbers, (T,), and the next key."""
    key, now = jax.random.split(key)
    return softmax(jax.random.normal(now, present.shape), present), key


def normalised(weights: jax.Array, present: jax.Array) -> jax.Array:
    """Non-negative weights (T,) over present tasks made to sum 1; equal ones where all of them are 0."""
    there = jnp.where(present, weights, 0.0)
    total = jnp.sum(there)
    return jnp.where(total > 0, there / jnp.where(total > 0, total, 1.0), present / count(present))


def remembered(old: jax.Array, new: jax.Array, present: jax.Array) -> jax.Array:
    """Weights on the simplex (T,) to keep: absent tasks keep their old share, the others split the rest as `new`."""
    away = jnp.where(present, 0.0, old)
    return jnp.where(present, new.astype(old.dtype) * (1 - jnp.sum(away)), away)
