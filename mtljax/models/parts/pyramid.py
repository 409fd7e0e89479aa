"""A feature pyramid: maps of one image from fine to coarse, made of one width and added up."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

PIXELS = "a dense prediction wants an image encoder such as ResNet"  # what heads say where there are no maps


def levels_of(features: Any) -> tuple[Any, ...]:
    """What an encoder gave, a pyramid, one map or vectors, as levels from fine to coarse.

    Raises:
        ValueError: for a tree of other features, which only its own heads know.

    Example:
        >>> levels_of([1, 2]), levels_of(1)
        ((1, 2), (1,))
    """
    if isinstance(features, Mapping):
        raise ValueError(
            f"features are a dict of {', '.join(map(str, features))}; expected a head of your own that reads it, or a "
            "map, a pyramid or vectors."
        )
    return tuple(features) if isinstance(features, tuple | list) else (features,)


def size_of(x: jax.Array) -> tuple[int, int]:
    """The height and the width of a map (B, h, w, C)."""
    _, height, width, _ = x.shape
    return height, width


def feature_maps(features: Any, taker: str, wanted: str, giver: str | None = None) -> tuple[jax.Array, ...]:
    """What an encoder gave, which must be maps, as levels from fine to coarse.

    Args:
        features: a pyramid, or one map (B, h, w, C).
        taker: who does what with feature maps, for the error.
        wanted: what gives maps, for the error.
        giver: the encoder's name, where it is known.

    Raises:
        ValueError: where they are something else.

    Example:
        >>> import jax.numpy as jnp
        >>> feature_maps(jnp.ones((2, 8)), "Dense takes", "it wants an image encoder")
        Traceback (most recent call last):
        ValueError: Dense takes feature maps (B, h, w, C), not shapes [(2, 8)]: it wants an image encoder.
    """
    levels = levels_of(features)
    if any(getattr(level, "ndim", None) != 4 for level in levels):
        shapes = [getattr(level, "shape", type(level).__name__) for level in levels]
        given = f" (B, h, w, C), not shapes {shapes}" if giver is None else f"; {giver} gives shapes {shapes}"
        raise ValueError(f"{taker} feature maps{given}: {wanted}.")
    return levels


def lateral(level: jax.Array, number: int, width: int, dtype: Any) -> jax.Array:
    """A level of a pyramid through the 1 x 1 convolution `lateral1`, `lateral2`, ... of the module that calls it."""
    return nn.Conv(width, (1, 1), use_bias=False, dtype=dtype, name=f"lateral{number}")(level)


def top_down(
    pyramid: Sequence[jax.Array],
    width: int,
    dtype: Any,
    refined: Callable[[jax.Array, int], jax.Array] = lambda x, number: x,
) -> list[jax.Array]:
    """The maps of a feature pyramid network (Lin et al. 2017), from coarse to fine, of the module that calls it.

    Args:
        pyramid: (B, h, w, C) each, from fine to coarse.
        width: channels of all maps.
        dtype: of the convolutions.
        refined: what becomes of the sum of a level, which is 1, 2, ..., and the coarser map, at the level's size.

    Returns:
        (B, h, w, width) each.
    """
    maps: list[jax.Array] = []
    for number, level in reversed(list(enumerate(pyramid, 1))):
        x = lateral(level, number, width, dtype)
        maps.append(refined(x if not maps else x + resized(maps[-1], x.shape[1:3]), number))
    return maps


def resized(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """A map (B, h, w, C) at another size (H, W): means where it shrinks, linear interpolation where it grows.

    As `jax.image.resize(..., "linear")`, whose weights are computed in the program: each map was some fifty operations.
    Sizes that are not known yet, as of a network that is exported for images of any size, leave it to that.

    Example:
        >>> import jax.numpy as jnp
        >>> print(resized(jnp.array([[0.0, 1.0]]).reshape(1, 1, 2, 1), (1, 4))[0, 0, :, 0])
        [0.   0.25 0.75 1.  ]
    """
    if x.shape[1:-1] == tuple(size):
        return x
    if not all(isinstance(number, int) for number in (*x.shape[1:-1], *size)):
        return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear")
    return _resized(x, tuple(size))


@functools.partial(jax.jit, static_argnums=1)
def _resized(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
    for axis, after in enumerate(size, 1):
        if x.shape[axis] != after:
            weights = jnp.asarray(_weights(x.shape[axis], after), x.dtype)
            x = jnp.moveaxis(jnp.tensordot(x, weights, (axis, 0), precision=jax.lax.Precision.HIGHEST), -1, axis)
    return x


@functools.cache
def _weights(before: int, after: int) -> np.ndarray:
    """How much each of so many cells counts in each of those after it, (before, after): triangles around their centres.

    They reach to the next cells' centres, before or after, whichever are farther apart.
    """
    places = (np.arange(after) + 0.5) * before / after - 0.5
    distances = np.abs(places - np.arange(before)[:, None]) / max(before / after, 1.0)
    weights = np.maximum(0.0, 1 - distances)
    return (weights / weights.sum(axis=0)).astype(np.float32)
