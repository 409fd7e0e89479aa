"""Clips, whose frames are folded into the batch for all that sees one frame at a time."""

from typing import Any

import jax
import jax.numpy as jnp


def folded(images: Any, taker: str) -> Any:
    """Images with the frames of clips folded into the batch.

    Args:
        images: (B, H, W, C), clips (B, s, H, W, C) or vectors (B, F); or a tree of arrays, which stays as it is.
        taker: the name of what takes them, for the error.

    Returns:
        (B, H, W, C), (B s, H, W, C) or (B, F); or the tree.

    Raises:
        ValueError: for images of another rank.

    Example:
        >>> folded(jnp.ones((2, 3, 8, 8, 3)), "MultiTask").shape
        (6, 8, 8, 3)
    """
    if is_tree(images):
        return images
    if images.ndim not in (2, 4, 5):
        raise ValueError(
            f"{taker} takes images (B, H, W, C), clips (B, s, H, W, C) or vectors (B, F), or a tree of arrays such as "
            f"{{'x': ...}}; got {images.shape}."
        )
    return images.reshape(-1, *images.shape[2:]) if images.ndim == 5 else images


def is_tree(images: Any) -> bool:
    """Whether what a model is given is a tree of arrays, rather than images or vectors.

    Example:
        >>> is_tree({"age": jnp.ones((2, 1))}), is_tree(jnp.ones((2, 1)))
        (True, False)
    """
    return not hasattr(images, "ndim")


def by_clip(tree: Any, frames: int | None) -> Any:
    """Arrays in which so many frames of each clip are folded into the batch, with an axis for them; None for no clips.

    Example:
        >>> by_clip({"depth": jnp.ones((6, 4, 4, 1))}, 3)["depth"].shape
        (2, 3, 4, 4, 1)
    """
    return tree if frames is None else jax.tree.map(lambda x: x.reshape(-1, frames, *x.shape[1:]), tree)


def mean_of_frames(x: jax.Array, frames: int | None) -> jax.Array:
    """An array in which so many frames of each clip are folded into the batch, averaged over them; None for no clips.

    Example:
        >>> print(mean_of_frames(jnp.arange(4.0)[:, None], 2))
        [[0.5]
         [2.5]]
    """
    return x if frames is None else jnp.mean(by_clip(x, frames), axis=1)
