"""Sums over valid pixels in which nothing that is masked out can leak, not even a NaN into a gradient."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.errors import UserError


def fits(prediction: jax.Array, label: Any, key: str, channels: int | None) -> None:
    """Raises a `UserError` where a prediction is not of a label's places, or has other channels: never broadcast.

    Args:
        prediction: (..., channels).
        label: (..., C), or its shape.
        key: of the label, for the message.
        channels: None for any number.
    """
    places, found = tuple(getattr(label, "shape", label))[:-1], tuple(prediction.shape)
    if found[:-1] != places or channels not in (None, found[-1]):
        wanted = ", ".join(map(str, (*places, "channels" if channels is None else channels)))
        raise UserError(f"the prediction has shape {found}; expected ({wanted}), by {key}.")


def intrinsics_of(batch: Any, size: int) -> jax.Array:
    """The camera of each of `size` clips, (size, 3, 3) float32; a `UserError` for another shape."""
    intrinsics = jnp.asarray(batch["camera"]["intrinsics"], jnp.float32)
    if intrinsics.shape != (size, 3, 3):
        raise UserError(f"camera intrinsics have shape {intrinsics.shape}; expected {(size, 3, 3)}, one a clip.")
    return intrinsics


def labels_of(batch: Any, key: str, channels: int = 1) -> tuple[jax.Array, jax.Array]:
    """A label (..., channels) and its mask, (..., 1) bool; the label's values that are not valid are made 0."""
    label, valid = jnp.asarray(batch[key]), jnp.asarray(batch[f"{key}_valid"], bool)
    if label.shape[-1:] != (channels,):
        raise UserError(f"label {key} has shape {label.shape}; expected a last axis of {channels}.")
    if label.shape[:-1] != valid.shape[:-1] or valid.shape[-1] != 1:
        raise UserError(f"mask {key}_valid has shape {valid.shape}; expected {(*label.shape[:-1], 1)}.")
    return jnp.where(valid, label, jnp.zeros((), label.dtype)), valid


def where_valid(prediction: jax.Array, valid: jax.Array, otherwise: float = 0.0) -> jax.Array:
    """The prediction in float32, with a constant in place of what is not valid, so that no gradient flows there."""
    return jnp.where(valid, prediction.astype(jnp.float32), otherwise)


def number(valid: jax.Array, axis: tuple[int, ...] | None = None) -> jax.Array:
    """How many are True, float32, over some axes or all: counted in integers, which do not stop at 2^24."""
    return jnp.sum(valid, axis=axis, dtype=jnp.int32).astype(jnp.float32)


def not_finite(prediction: jax.Array, valid: jax.Array) -> jax.Array:
    """How many valid places, (..., 1) bool, have a prediction (..., C) that is not finite: () int32."""
    return jnp.sum(valid & ~jnp.all(jnp.isfinite(prediction), axis=-1, keepdims=True), dtype=jnp.int32)


def no_best(logits: jax.Array, valid: jax.Array) -> jax.Array:
    """How many valid places, (...) bool, have logits (..., C) without a largest number: () int32.

    A class may be ruled out by minus infinity; a NaN, or a largest logit that is infinite, says nothing.
    """
    return jnp.sum(valid & ~jnp.isfinite(jnp.max(logits, axis=-1)), dtype=jnp.int32)


def image_means(values: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean of (..., H, W, 1) over each image's valid pixels, and whether it has any: two (...) float32."""
    count = number(valid, axis=(-3, -2, -1))
    total = jnp.sum(jnp.where(valid, values, 0.0), axis=(-3, -2, -1))
    return total / jnp.maximum(count, 1.0), (count > 0).astype(jnp.float32)


def total_and_count(per_image: jax.Array, has_any: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum over the images that have valid pixels, and their number."""
    return jnp.sum(jnp.where(has_any > 0, per_image, 0.0)), jnp.sum(has_any)
