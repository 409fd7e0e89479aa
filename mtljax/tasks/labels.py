"""What tasks read of a batch: labels with their masks, the camera; and whether predictions fit them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError


def fits(prediction: jax.Array | np.ndarray, label: Any, key: str, channels: int | None) -> None:
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


def numbers_of(batch: Any, key: str, channels: int) -> tuple[jax.Array, jax.Array]:
    """Numbers of whole examples, or of every place: (..., channels) and their mask, (..., channels) bool.

    One number an example may be (B,), and its mask as well; a mask has one value for all channels, or one for each.
    What is not valid is made 0.
    """
    label, valid = jnp.asarray(batch[key]), jnp.asarray(batch[f"{key}_valid"], bool)
    label, valid = (x[:, None] if x.ndim == 1 else x for x in (label, valid))
    if label.shape[-1:] != (channels,):
        raise UserError(f"label {key} has shape {batch[key].shape}; expected a last axis of {channels}.")
    if label.shape[:-1] != valid.shape[:-1] or valid.shape[-1] not in (1, channels):
        expected = {(*label.shape[:-1], 1): None, label.shape: None}
        raise UserError(f"mask {key}_valid has shape {valid.shape}; expected {' or '.join(map(str, expected))}.")
    valid = jnp.broadcast_to(valid, label.shape)
    return jnp.where(valid, label, jnp.zeros((), label.dtype)), valid


def check_class_ids(ids: Any, label: str) -> None:
    """Raises a `UserError` where class ids are no whole numbers."""
    if not jnp.issubdtype(ids.dtype, jnp.integer) and ids.dtype != bool:
        raise UserError(f"label {label} has dtype {ids.dtype}; expected class ids, which are integers.")
