"""What gradients are divided by while methods weigh them against each other."""

from typing import Literal, get_args

import jax

from mtljax.balance import among_present

Normalise = Literal["none", "l2", "loss", "loss+"]


def check(method: str, normalise: Normalise) -> None:
    """Raises `ValueError` for an unknown `normalise`."""
    if normalise not in get_args(Normalise):
        raise ValueError(f"{method}(normalise={normalise!r}): expected one of {', '.join(get_args(Normalise))}.")


def divided(norms: jax.Array, losses: jax.Array | None, normalise: Normalise) -> jax.Array:
    """The norms of gradients that were divided: by nothing, by their norm, by their loss, or by both.

    Args:
        norms: (T,), at least 0.
        losses: (T,), for `loss` and `loss+` alone; one below 1e-8 counts as 1e-8.
        normalise: `none`, `l2`, `loss` or `loss+`.

    Returns:
        (T,); 0 where the norm is.
    """
    norms = (norms > 0).astype(norms.dtype) if normalise in ("l2", "loss+") else norms
    if not normalise.startswith("loss"):
        return norms
    if losses is None:
        raise ValueError(f"normalise={normalise!r} needs the losses.")
    return norms / among_present.positive(losses).astype(norms.dtype)
