"""Predictions that are no numbers: they are counted, and where there are any no figure is a number."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mtljax.tasks.task import Metric, Sums

NOT_FINITE = "not_finite"  # of a task's sums: how many judged predictions are no numbers


def of_numbers(*metrics: Metric) -> tuple[Metric, ...]:
    """The metrics, each NaN where any judged prediction is no number: comparisons with NaN would pass for right.

    Example:
        >>> (share,) = of_numbers(Metric("share", True, lambda sums: sums["right"] / sums["all"]))
        >>> share.value({"right": 3, "all": 4, "not_finite": 0}), share.value({"right": 3, "all": 4, "not_finite": 1})
        (0.75, nan)
    """

    def told(value: Callable[[Sums], float]) -> Callable[[Sums], float]:
        return lambda sums: float("nan") if sums[NOT_FINITE] > 0 else value(sums)

    return tuple(dataclasses.replace(metric, value=told(metric.value)) for metric in metrics)


def not_finite(prediction: jax.Array, valid: jax.Array) -> jax.Array:
    """How many valid places, (..., 1) bool, have a prediction (..., C) that is not finite: () int32."""
    return jnp.sum(valid & ~jnp.all(jnp.isfinite(prediction), axis=-1, keepdims=True), dtype=jnp.int32)


def no_best(logits: jax.Array, valid: jax.Array) -> jax.Array:
    """How many valid places, (...) bool, have logits (..., C) without a largest number: () int32.

    A class may be ruled out by minus infinity; a NaN, or a largest logit that is infinite, says nothing.
    """
    return jnp.sum(valid & ~jnp.isfinite(jnp.max(logits, axis=-1)), dtype=jnp.int32)
