"""Hard sharing: one encoder, a head per task."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from mtljax.models.pure import as_module, asks_for, call

SHARED = "shared"


class MultiTask(nn.Module):
    """One encoder, a head per task (Caruana 1997): images in, a dict of predictions out.

    Images are `(B, H, W, C)`, or clips `(B, s, H, W, C)`, whose frames are folded into the batch for the encoder;
    feature vectors are `(B, F)`. What a head may ask for is listed in `mtljax.models.heads`.

    Attributes:
        encoder: a Linen module, or any pure `init`/`apply` pair.
        heads: task name -> head, each a Linen module or a pure pair.
        parents: task name -> names of the tasks whose predictions its head takes. Predictions are made in order of
            this hierarchy.
        remat: whether each backward pass computes the encoder's activations again, rather than keeping them.

    Raises:
        ValueError: for images of another rank, unknown tasks or parents, or a cycle among parents.
        TypeError: for an encoder or head that is no pure pair.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = mtl.MultiTask(
        ...     encoder=mtl.encoders.MLP((16,)),
        ...     heads={"digit": mtl.heads.Linear(10), "slant": mtl.heads.Linear(1)},
        ... )
        >>> images = jnp.ones((2, 8, 8, 3))
        >>> variables = model.init(jax.random.key(0), images)
        >>> jax.tree.map(jnp.shape, dict(model.apply(variables, images)))
        {'digit': (2, 10), 'slant': (2, 1)}
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Mapping[str, Sequence[str]] | None = None
    remat: bool = False

    def __post_init__(self) -> None:
        encoder = as_module(self.encoder, "MultiTask(encoder=...)")
        heads = {task: as_module(head, f"MultiTask(heads={{{task!r}: ...}})") for task, head in self.heads.items()}
        object.__setattr__(self, "encoder", encoder)
        object.__setattr__(self, "heads", heads)
        super().__post_init__()

    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        tasks: Sequence[str] | None = None,
        camera: Any = None,
    ) -> dict[str, jax.Array]:
        """Predicts the given tasks (all, by default): a dict of `(B, H, W, C)`, or `(B, s, H, W, C)` for clips."""
        return self.decode(self.encode(images, train=train), images, train=train, tasks=tasks, camera=camera)

    def encode(self, images: jax.Array, *, train: bool = False) -> Any:
        """The shared features, frames folded into the batch."""
        if images.ndim not in (2, 4, 5):
            raise ValueError(
                f"MultiTask takes images (B, H, W, C), clips (B, s, H, W, C) or vectors (B, F); got {images.shape}."
            )
        folded = images.reshape(-1, *images.shape[2:]) if images.ndim == 5 else images
        if not self.remat:
            return call(self.encoder, folded, train=train)
        return nn.remat(lambda encoder, x: call(encoder, x, train=train))(self.encoder, folded)

    def decode(
        self,
        features: Any,
        images: jax.Array,
        *,
        train: bool = False,
        tasks: Sequence[str] | None = None,
        camera: Any = None,
    ) -> dict[str, jax.Array]:
        """Predictions from the features that `encode` gave; of `images` only the shape is read."""
        frames = images.shape[1] if images.ndim == 5 else None
        size = None if images.ndim == 2 else images.shape[-3:-1]
        wanted = list(self.heads) if tasks is None else list(tasks)
        predictions: dict[str, jax.Array] = {}
        for task in self._in_order(wanted):
            head = self.heads[task]
            parents = {p: predictions[p] for p in self._parents(task)}
            context = {"size": size, "frames": frames, "camera": camera, "parents": parents, "train": train}
            prediction = call(head, features, **context)
            if frames is not None and not asks_for(head, "frames"):
                prediction = prediction.reshape(-1, frames, *prediction.shape[1:])
            predictions[task] = prediction
        return {task: predictions[task] for task in wanted}

    def groups(self, params: Any) -> Any:
        """The optimiser group of every parameter: a tree as `params` of `shared` or a task's name."""
        return jax.tree_util.tree_map_with_path(lambda path, _: _group(path[0].key), params)

    def _parents(self, task: str) -> Sequence[str]:
        return (self.parents or {}).get(task, ())

    def _in_order(self, wanted: Sequence[str]) -> list[str]:
        ordered: list[str] = []

        def visit(task: str, below: tuple[str, ...]) -> None:
            if task not in self.heads:
                raise ValueError(f"no head for task {task!r}; the model has {', '.join(self.heads)}.")
            if task in below:
                raise ValueError(f"tasks are each other's parents: {' -> '.join((*below, task))}.")
            for parent in self._parents(task):
                visit(parent, (*below, task))
            if task not in ordered:
                ordered.append(task)

        for task in wanted:
            visit(task, ())
        return ordered


def _group(part: str) -> str:
    return part.removeprefix("heads_") if part.startswith("heads_") else SHARED
