"""What all ways to share have in common: heads on features, and groups of parameters."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import flax.linen as nn
import jax

from mtljax.errors import UserError
from mtljax.models.parts.clips import by_clip, folded, is_tree
from mtljax.models.parts.pyramid import feature_maps
from mtljax.models.parts.scaled_gradient import scaled_gradient
from mtljax.models.parts.tokens import features_of
from mtljax.models.pure import as_module, asks_for, call, names
from mtljax.models.sharing.base import hierarchy

SHARED = "shared"


class Tasked:
    """A model of several tasks: images in, a dict of predictions out. A mixin of Linen modules.

    A subclass has the attributes `heads`, `parents`, `edges` and `remat`, and gives `encode`. Pure pairs among its
    `adopted` attributes become modules. Its dicts from tasks to modules that are listed in `own_parts` are in their
    tasks' optimiser groups.
    """

    heads: Mapping[str, Any]
    parents: hierarchy.Parents | None
    remat: bool
    adopted: ClassVar[tuple[str, ...]] = ("encoder", "heads")
    own_features: ClassVar[bool] = True  # whether `encode` gives a dict from tasks to features
    special_groups: ClassVar[tuple[str, ...]] = ()  # prefixes of parts that are optimiser groups of their own
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0}  # dict of modules -> how many numbers follow a task's name
    edges: Mapping[str, str] | None = None  # `parent->task` -> a word of `hierarchy.WORDS`
    # task -> what gradients are multiplied by on their way to features
    gradient_scale: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        for key in self.adopted:
            part = getattr(self, key)
            if isinstance(part, Mapping):
                part = {task: as_module(p, f"{name}({key}={{{task!r}: ...}})") for task, p in part.items()}
            else:
                part = as_module(part, f"{name}({key}=...)")
            object.__setattr__(self, key, part)
        hierarchy.check_edges(self.edges or {}, self.parents or {}, self.heads)
        cast(nn.Module, super()).__post_init__()

    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        tasks: Sequence[str] | None = None,
        camera: Any = None,
        labels: Any = None,
    ) -> dict[str, jax.Array]:
        """Predicts the given tasks (all, by default): a dict of `(B, H, W, C)`, or `(B, s, H, W, C)` for clips.

        In the place of images stands any tree of arrays that the encoder takes. Of the batch's `labels`, heads that
        name them see something in training and, in the place of a parent, where its edge is `truth`; else nothing.
        """
        known = {key: x for key, x in (("camera", camera), ("labels", labels)) if asks_for(self.encode, key)}
        features = self.encode(images, train=train, tasks=tasks, **known)
        return self.decode(features, images, train=train, tasks=tasks, camera=camera, labels=labels)

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """The features, frames folded into the batch; for each task where `own_features`.

        One that predicts too asks for the `camera` and the `labels`.
        """
        raise NotImplementedError

    def decode(
        self,
        features: Any,
        images: jax.Array,
        *,
        train: bool = False,
        tasks: Sequence[str] | None = None,
        camera: Any = None,
        labels: Any = None,
    ) -> dict[str, jax.Array]:
        """Predictions from the features that `encode` gave; of `images` only the shape is read."""
        seen = features if self.own_features else dict.fromkeys(self.heads, features)
        return self._predicted(self.heads, seen, images, train=train, tasks=tasks, camera=camera, labels=labels)

    def _predicted(
        self,
        heads: Mapping[str, Any],
        features: Mapping[str, Any],
        images: jax.Array,
        *,
        train: bool,
        tasks: Sequence[str] | None,
        camera: Any,
        labels: Any,
    ) -> dict[str, jax.Array]:
        """What the tasks' heads make of their features, in which frames are folded into the batch."""
        shape = () if is_tree(images) else images.shape
        frames = shape[1] if len(shape) == 5 else None
        size = shape[-3:-1] if len(shape) > 3 else None
        wanted = list(self.heads) if tasks is None else list(tasks)
        given: dict[str, Any] = {}  # as heads gave them
        predictions: dict[str, Any] = {}
        for task in self.in_order(wanted):
            head = heads[task]
            # A head that does not ask for frames sees one at a time, of its parents' predictions too.
            seen = predictions if asks_for(head, "frames") else given
            context = {"size": size, "frames": frames, "camera": camera, "train": train}
            context |= self._of_parents(task, head, seen, labels if train else None, labels)
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
        return hierarchy.in_order(list(self.heads if tasks is None else tasks), self.parents or {}, self.heads)

    def _of_parents(
        self, task: str, head: Any, predictions: Mapping[str, Any], given: Any, labels: Any
    ) -> dict[str, Any]:
        """What a head may be told of its parents, and instead of them: `parents`, `edges` and `labels`.

        Args:
            task: the head's.
            head: whose signature is read.
            predictions: task -> its prediction.
            given: the labels that the head gets in any case.
            labels: those that it gets in the place of a parent.
        """
        parents, words = {}, {}
        knows = names(head, "edges")
        for role, parent in hierarchy.roles((self.parents or {}).get(task, ())).items():
            words[role] = hierarchy.edge_of(head, parent, task, self.edges)
            if words[role] != hierarchy.NONE or knows:
                attached = words[role] == hierarchy.ATTACHED
                parents[role] = predictions[parent] if attached else jax.lax.stop_gradient(predictions[parent])
        context = {"parents": parents, "edges": words}
        context["labels"] = labels if hierarchy.TRUTH in words.values() else given
        return {key: value for key, value in context.items() if key == "parents" or names(head, key)}

    def _group(self, part: str) -> str:
        for special in self.special_groups:
            if part == special or part.startswith(f"{special}_"):
                return special
        for own, numbers in self.own_parts.items():
            named = re.fullmatch(rf"{own}_(.+)" + r"_\d+" * numbers, part)
            if named and named[1] in self.heads:
                return named[1]
        return SHARED

    def _folded(self, images: jax.Array) -> jax.Array:
        """Images with the frames of clips folded into the batch."""
        return folded(images, type(self).__name__)

    def _encoded(self, encoder: Any, x: jax.Array, train: bool) -> Any:
        """An encoder's features; computed again in each backward pass where `remat`."""

        def encoded(encoder: Any, x: Any) -> Any:
            return features_of(call(encoder, x, train=train), x)

        return nn.remat(encoded)(encoder, x) if self.remat else encoded(encoder, x)

    def _staged(self, encoder: Any, stage: str, x: jax.Array, before: Mapping[str, jax.Array], train: bool) -> Any:
        """One stage of an encoder; computed again in each backward pass where `remat`."""
        if not self.remat:
            return encoder.stage(stage, x, before, train)

        def again(encoder: Any, x: jax.Array, values: list[jax.Array]) -> jax.Array:
            # As a dict, the stages would come back in the order of their names.
            return encoder.stage(stage, x, dict(zip(before, values, strict=True)), train)

        return nn.remat(again)(encoder, x, list(before.values()))


def maps_of(model: Tasked, encoder: Any, features: Any, does: str) -> tuple[jax.Array, ...]:
    """What a model's encoder gave, which must be maps, as a pyramid.

    Raises:
        ValueError: for vectors, saying what the model does with feature maps.
    """
    wanted = "it wants an encoder such as ResNet, UNet, ViT or AlexNet()"
    return feature_maps(features, f"{type(model).__name__} {does}", wanted, type(encoder).__name__)
