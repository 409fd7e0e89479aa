"""What models of other libraries give, as features: the maps that their tokens stand for."""

from typing import Any

import jax

_STATE = "last_hidden_state"  # of an output of Hugging Face's
_BEFORE = 5  # tokens before those of patches: of the class, of distillation, four registers


def features_of(output: Any, images: Any) -> Any:
    """Features, of an output that has them as its `last_hidden_state`: tokens of patches as a map.

    Args:
        output: what an encoder gave; what has no such attribute is features already.
        images: (B, H, W, C), of which the encoder has made one token a patch, and perhaps a few before them (of the
            class, registers).

    Returns:
        (B, h, w, D), with h : w as H : W.

    Raises:
        ValueError: where tokens (B, N, D) are those of no patches.

    Example:
        >>> import types, jax.numpy as jnp
        >>> output = types.SimpleNamespace(last_hidden_state=jnp.ones((2, 1 + 4 * 6, 8)))
        >>> features_of(output, jnp.ones((2, 32, 48, 3))).shape
        (2, 4, 6, 8)
    """
    if not hasattr(output, _STATE):
        return output
    tokens = getattr(output, _STATE)
    if getattr(tokens, "ndim", None) != 3 or getattr(images, "ndim", None) != 4:
        raise ValueError(
            f"{type(output).__name__}.{_STATE} has shape {getattr(tokens, 'shape', None)}, of images "
            f"{getattr(images, 'shape', type(images).__name__)}; expected tokens (B, N, D) of images (B, H, W, C). "
            "Wrap the encoder in a module that gives maps (B, h, w, C)."
        )
    height, width = _grid(tokens, images)
    return tokens[:, -height * width :].reshape(tokens.shape[0], height, width, tokens.shape[-1])


def _grid(tokens: jax.Array, images: jax.Array) -> tuple[int, int]:
    """Height and width in square patches, as many as there are tokens or a few less."""
    number = tokens.shape[1]
    for patch in range(1, min(images.shape[1:3]) + 1):
        (height, over), (width, more) = (divmod(side, patch) for side in images.shape[1:3])
        if not over and not more and 0 <= number - height * width <= _BEFORE:
            return height, width
    raise ValueError(
        f"{number} tokens are not those of square patches of images {images.shape[1]} x {images.shape[2]}, with at "
        f"most {_BEFORE} before them. Wrap the encoder in a module that gives maps (B, h, w, C)."
    )
