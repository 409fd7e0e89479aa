"""The loss of the tasks of a camera's motion, and the labels that they read."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mtljax.errors import UserError
from mtljax.tasks.labels import fits, labels_of
from mtljax.tasks.losses.masked import number, where_valid
from mtljax.tasks.task import Batch

BETA = 10.0  # weight of a rotation's radians beside a translation's metres


def known(prediction: jax.Array, batch: Batch, label: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Predicted and true motions, (B, s, 6) float32, 0 where not known, and the mask (B, s, 1)."""
    truth, valid = labels_of(batch, label, channels=6)
    fits(prediction, truth, label, 6)
    return where_valid(prediction, valid), truth.astype(jnp.float32), valid


def motion_loss(label: str, beta: float, loss: str) -> Callable[[jax.Array, Batch], tuple[jax.Array, jax.Array]]:
    """L1 norms of the translation's error and, beta times, of the rotation's: the mean over the pairs that are known.

    Raises:
        UserError: for an unknown loss, or a negative beta.
    """
    if loss not in ("l1", "none"):
        raise UserError(f"loss={loss!r} of a camera's motion: expected 'l1' or 'none'.")
    if beta < 0:
        raise UserError(f"beta={beta}: expected a weight of at least 0.")

    def total_and_pairs(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        if loss == "none":
            return jnp.zeros(()), jnp.zeros(())
        p, g, valid = known(prediction, batch, label)
        error = jnp.abs(p - g)
        weighted = jnp.sum(error[..., :3], axis=-1) + beta * jnp.sum(error[..., 3:], axis=-1)
        return jnp.sum(jnp.where(valid[..., 0], weighted, 0.0)), number(valid)

    return total_and_pairs
