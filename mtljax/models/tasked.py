"""What all ways to share have in common: heads on features, and groups of parameters."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.models.pure import as_module, asks_for, call

SHARED = "shared"
PENALTIES = "penalties"  # collection: task -> scalars that are added to its loss in training
INITIAL = "initial"  # collection: task -> earlier predictions, which its loss is computed on as well
_OWN = re.compile("(?:heads|networks|attention|gates|own_experts|own|fusion|initial|distilled)_(.+)")


class Tasked:
    """A model of several tasks: images in, a dict of predictions out. A mixin of Linen modules.

    A subclass has the attributes `heads` and `parents`, and gives `encode`. Parts in dicts from tasks to modules that
    are named `heads`, `networks`, ... are in their tasks' optimiser groups.
    """

    heads: Mapping[str, Any]
    parents: Mapping[str, Sequence[str]] | None
    own_features: ClassVar[bool] = True  # whether `encode` gives a dict from tasks to features
    special_groups: ClassVar[tuple[str, ...]] = ()  # prefixes of parts that are optimiser groups of their own
    gradient_scale: Mapping[str, float] | None = (
        None  # task -> what gradients are multiplied by on their way to features
    )

    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        tasks: Sequence[str] | None = None,
        camera: Any = None,
    ) -> dict[str, jax.Array]:
        """Predicts the given tasks (all, by default): a dict of `(B, H, W, C)`, or `(B, s, H, W, C)` for clips."""
        features = self.encode(images, train=train, tasks=tasks)
        return self.decode(features, images, train=train, tasks=tasks, camera=camera)

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """The features, frames folded into the batch; for each task where `own_features`."""
        raise NotImplementedError

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
        for task in self.in_order(wanted):
            head = self.heads[task]
            parents = {p: predictions[p] for p in self._parents(task)}
            context = {"size": size, "frames": frames, "camera": camera, "parents": parents, "train": train}
            seen = scaled_gradient(
                features[task] if self.own_features else features, (self.gradient_scale or {}).get(task)
            )
            prediction = call(head, seen, **context)
            if frames is not None and not asks_for(head, "frames"):
                prediction = jax.tree.map(lambda x: x.reshape(-1, frames, *x.shape[1:]), prediction)
            predictions[task] = prediction
        return {task: predictions[task] for task in wanted}

    def groups(self, params: Any) -> Any:
        """The optimiser group of every parameter: a tree as `params` of `shared`, a task's name or a special group."""
        return jax.tree_util.tree_map_with_path(lambda path, _: self._group(path[0].key), params)

    def in_order(self, tasks: Sequence[str] | None) -> list[str]:
        """The tasks and those that they depend on, parents first; all by default."""
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

        for task in self.heads if tasks is None else tasks:
            visit(task, ())
        return ordered

    def _parents(self, task: str) -> Sequence[str]:
        return (self.parents or {}).get(task, ())

    def _group(self, part: str) -> str:
        for special in self.special_groups:
            if part == special or part.startswith(f"{special}_"):
                return special
        own = _OWN.fullmatch(part)
        if own is None:
            return SHARED
        numbered = re.sub(r"(_\d+)+$", "", own[1])
        return own[1] if own[1] in self.heads else numbered if numbered in self.heads else SHARED

    def _adopt(self, **parts: Any) -> None:
        """Makes Linen modules of parts that are pure pairs; to be called in `__post_init__`."""
        name = type(self).__name__
        for key, part in parts.items():
            if isinstance(part, Mapping):
                part = {task: as_module(p, f"{name}({key}={{{task!r}: ...}})") for task, p in part.items()}
            else:
                part = as_module(part, f"{name}({key}=...)")
            object.__setattr__(self, key, part)

    def _folded(self, images: jax.Array) -> jax.Array:
        """Images with the frames of clips folded into the batch."""
        if images.ndim not in (2, 4, 5):
            raise ValueError(
                f"{type(self).__name__} takes images (B, H, W, C), clips (B, s, H, W, C) or vectors (B, F); "
                f"got {images.shape}."
            )
        return images.reshape(-1, *images.shape[2:]) if images.ndim == 5 else images

    def _encoded(self, encoder: Any, x: jax.Array, train: bool) -> Any:
        """An encoder's features; computed again in each backward pass where `remat`."""
        if not self.remat:
            return call(encoder, x, train=train)
        return nn.remat(lambda encoder, x: call(encoder, x, train=train))(encoder, x)

    def _staged(self, encoder: Any, stage: str, x: jax.Array, before: Mapping[str, jax.Array], train: bool) -> Any:
        """One stage of an encoder; computed again in each backward pass where `remat`."""
        if not self.remat:
            return encoder.stage(stage, x, before, train)

        def again(encoder: Any, x: jax.Array, values: list[jax.Array]) -> jax.Array:
            # As a dict, the stages would come back in the order of their names.
            return encoder.stage(stage, x, dict(zip(before, values, strict=True)), train)

        return nn.remat(again)(encoder, x, list(before.values()))


def scaled_gradient(tree: Any, scale: float | None) -> Any:
    """The arrays of a tree as they are, whose gradients are multiplied by a number; None for 1.

    Example:
        >>> import jax
        >>> print(jax.value_and_grad(lambda x: scaled_gradient(x, 0.1) ** 2)(3.0))
        (Array(9., dtype=float32...), Array(0.6, dtype=float32...))
    """
    return tree if scale is None else jax.tree.map(lambda x: _scaled(float(scale), x), tree)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _scaled(scale: float, x: jax.Array) -> jax.Array:
    return x


@_scaled.defjvp
def _scaled_jvp(scale: float, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    return primals[0], scale * tangents[0]


def copies(module: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """Modules as the given one, each with parameters of its own."""
    return {name: module.clone(parent=None, name=None) for name in names}
