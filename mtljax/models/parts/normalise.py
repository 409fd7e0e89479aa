"""What images are normalised by, where an encoder's weights were trained on normalised images."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.errors import UserError, unknown

Normalise = bool | str | tuple[tuple[float, ...], tuple[float, ...]]
KNOWN = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # torchvision's models
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # most of timm's ViTs
}


def normalised(images: jax.Array, by: Normalise, usual: str) -> jax.Array:
    """Images of values in [0, 1] less a mean, over a deviation, of each channel.

    Args:
        images: (B, H, W, C).
        by: False for images as they are; True for what `usual` names; `imagenet`; `inception`; or a pair (mean,
            deviation) of C numbers each.
        usual: a known name.

    Returns:
        As `images`, float32 or wider.

    Raises:
        UserError: for an unknown name, a pair of other lengths than the channels, or a deviation that is not positive.

    Example:
        >>> print(normalised(jnp.full((1, 1, 1, 3), 0.75), "inception", "imagenet"))
        [[[[0.5 0.5 0.5]]]]
    """
    if isinstance(by, bool):
        if not by:
            return images
        by = usual
    if isinstance(by, str):
        if by not in KNOWN:
            raise unknown("normalise=", by, KNOWN)
        by = KNOWN[by]
    mean, deviation = _checked(by, images.shape)
    return (images - jnp.asarray(mean, jnp.float32)) / jnp.asarray(deviation, jnp.float32)


def _checked(by: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    channels = shape[-1]
    pair = isinstance(by, tuple | list) and len(by) == 2 and all(isinstance(part, tuple | list) for part in by)
    if not pair or any(len(part) != channels for part in by):
        raise UserError(
            f"normalise={by!r} for images of shape {shape}: expected a pair (mean, deviation) of {channels} numbers "
            f"each, True, False, or one of {', '.join(KNOWN)} for 3 channels."
        )
    if not all(number > 0 for number in by[1]):
        raise UserError(f"normalise={by!r}: expected positive deviations.")
    return by[0], by[1]
