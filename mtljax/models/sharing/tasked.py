"""What all ways to share have in common: heads on features, and groups of parameters."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.errors import UserError
from mtljax.models.pure import as_module, asks_for, call

SHARED = "shared"
PENALTIES = "penalties"  # collection: task -> scalars that are added to its loss in training
INITIAL = "initial"  # collection: task -> earlier predictions, which its loss is computed on as well
PER_STEP = ("annealing",)  # collections that move once a step, in however many parts its batch is worked through


class Tasked:
    """A model of several tasks: images in, a dict of predictions out. A mixin of Linen modules.

    A subclass has the attributes `heads` and `parents`, and gives `encode`. Its dicts from tasks to modules that are
    listed in `own_parts` are in their tasks' optimiser groups.
    """

    heads: Mapping[str, Any]
    parents: Mapping[str, Sequence[str]] | None
    own_features: ClassVar[bool] = True  # whether `encode` gives a dict from tasks to features
    special_groups: ClassVar[tuple[str, ...]] = ()  # prefixes of parts that are optimiser groups of their own
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0}  # dict of modules -> how many numbers follow a task's name
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
        seen = features if self.own_features else dict.fromkeys(self.heads, features)
        return self._predicted(self.heads, seen, images, train=train, tasks=tasks, camera=camera)

    def _predicted(
        self,
        heads: Mapping[str, Any],
        features: Mapping[str, Any],
        images: jax.Array,
        *,
        train: bool,
        tasks: Sequence[str] | None,
        camera: Any,
    ) -> dict[str, jax.Array]:
        """What the tasks' heads make of their features, in which frames are folded into the batch."""
        frames = images.shape[1] if images.ndim == 5 else None
        size = None if images.ndim == 2 else images.shape[-3:-1]
        wanted = list(self.heads) if tasks is None else list(tasks)
        given: dict[str, Any] = {}  # as heads gave them
        predictions: dict[str, Any] = {}
        for task in self.in_order(wanted):
            head = heads[task]
            # A head that does not ask for frames sees one at a time, of its parents' predictions too.
            seen = predictions if asks_for(head, "frames") else given
            parents = {parent: seen[parent] for parent in self._parents(task)}
            context = {"size": size, "frames": frames, "camera": camera, "parents": parents, "train": train}
            scaled = scaled_gradient(features[task], (self.gradient_scale or {}).get(task))
            given[task] = call(head, scaled, **context)
            predictions[task] = given[task] if asks_for(head, "frames") else by_clip(given[task], frames)
        return {task: predictions[task] for task in wanted}

    def groups(self, params: Any) -> Any:
        """The optimiser group of every parameter: a tree as `params` of `shared`, a task's name or a special group.

        Raises:
            UserError: for a task that is named as a group of other parameters.
        """
        for task in self.heads:
            if task in (SHARED, *self.special_groups):
                raise UserError(
                    f"{type(self).__name__}: a task cannot be named {task!r}, as is the optimiser group of parameters "
                    "that are no task's own; expected another name."
                )
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
        for own, numbers in self.own_parts.items():
            named = re.fullmatch(rf"{own}_(.+)" + r"_\d+" * numbers, part)
            if named and named[1] in self.heads:
                return named[1]
        return SHARED

    def _adopt(self, **parts: Any) -> None:
        """Makes Linen modules of parts that are pure pairs; to be called in `__post_init__`."""
        name = type(self).__name__
        for key, part in parts.items():
            if isinstance(part, Mapping):
                part = {task: as_module(p, f"{name}({key}={{{task!r}: ...}})") for task, p in part.items()}
            else:
                part = as_module(part, f"{name}({key}=...)")
            object.__setattr__(self, key, part)

    def _noted(self, collection: str, task: str, value: Any) -> None:
        """Adds to what a task has in a collection. Unlike `sow`, it lets a task be named as a part of the model."""
        if self.is_mutable_collection(collection) and not self.is_initializing():
            self.put_variable(collection, task, (*self.get_variable(collection, task, ()), value))

    def _maps(self, features: Any, does: str) -> tuple[jax.Array, ...]:
        """An encoder's features, which must be maps, as a pyramid."""
        levels = tuple(features) if isinstance(features, tuple | list) else (features,)
        if any(getattr(level, "ndim", None) != 4 for level in levels):
            raise ValueError(
                f"{type(self).__name__} {does} feature maps; {type(self.encoder).__name__} gives shapes "
                f"{[getattr(level, 'shape', type(level).__name__) for level in levels]}: it wants an encoder such as "
                "ResNet, UNet, ViT or AlexNet()."
            )
        return levels

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


def by_clip(tree: Any, frames: int | None) -> Any:
    """Arrays in which so many frames of each clip are folded into the batch, with an axis for them; None for no clips.

    Example:
        >>> import jax.numpy as jnp
        >>> by_clip({"depth": jnp.ones((6, 4, 4, 1))}, 3)["depth"].shape
        (2, 3, 4, 4, 1)
    """
    return tree if frames is None else jax.tree.map(lambda x: x.reshape(-1, frames, *x.shape[1:]), tree)


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
