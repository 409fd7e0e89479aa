"""The function that is exported: what a network is given, and a dict of arrays out of it."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mtljax.errors import UserError
from mtljax.serving.network import Network

INPUT = "images"
_CLOSE = 1e-3  # of the largest number of an output, or of 1
_OTHER = 0.01  # share of whole numbers that may differ, such as ids of pixels at an object's edge


@dataclasses.dataclass(frozen=True)
class Served:
    """A network as a function of one array, or of a tree of arrays, each with a first axis for the batch.

    Attributes:
        network: asked for the tasks that are wanted.
    """

    network: Network

    @functools.cached_property
    def jitted(self) -> Any:
        """The same, compiled where it is called: modules need not be hashable."""
        return jax.jit(lambda given: self(given))

    @property
    def one(self) -> Any:
        """Shapes of one example: (H, W, C) of images, (s, H, W, C) of clips, (F,) of vectors; or a tree of arrays."""
        given = self.network.given
        if self.network.frames == 1:
            return jax.ShapeDtypeStruct(given["image"].shape[1:], given["image"].dtype)
        return given["image"] if "image" in given else given["inputs"]

    @property
    def is_image(self) -> bool:
        """Whether it takes images, single or of clips."""
        return self.network.frames is not None

    def __call__(self, given: Any) -> dict[str, jax.Array]:
        """Task -> prediction, (B, H, W, C) of images; `task/part` where it has several parts."""
        if self.network.frames == 1:
            given = given[:, None]
        key = "image" if "image" in self.network.given else "inputs"
        found: dict[str, Any] = {}
        for task, tree in self.network.apply(self.network.variables, {key: given}).items():
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                name = "/".join([task, *(str(getattr(part, "key", part)) for part in path)])
                found[name] = leaf[:, 0] if self.network.frames == 1 and leaf.ndim > 2 and leaf.shape[1] == 1 else leaf
        return found

    def shapes(self, size: int = 1) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of its outputs for a batch of that size."""
        return jax.eval_shape(self, self.of_batch(size))

    def of_batch(self, size: int) -> Any:
        """The shapes of its inputs for a batch of that size."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), self.one)

    def sample(self, size: int) -> Any:
        """A batch of noise, within the range of what the run was given: of whole numbers, such as atoms, not all 0."""
        rng, key = np.random.default_rng(0), "image" if "image" in self.network.given else "inputs"

        def noise(x: jax.ShapeDtypeStruct, known: Mapping[str, Any]) -> np.ndarray:
            low, high = (default if known[end] is None else known[end] for end, default in (("low", 0), ("high", 1)))
            if x.dtype.kind in "iub":
                return rng.integers(int(low), int(high), x.shape, endpoint=True).astype(x.dtype)
            return (low + (high - low) * rng.random(x.shape, np.float32)).astype(x.dtype)

        return jax.tree.map(noise, self.of_batch(size), self.network.inputs["given"][key])


def must_agree(what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Checks what a file says against the network that it was made of.

    Args:
        what: the file, for the message.
        found: its outputs.
        wanted: those of the network.

    Raises:
        UserError: where they are not the same to about three digits, or of whole numbers more than 1 % differ; or where
            those of the network are not finite, so that nothing can be compared.

    Example:
        >>> must_agree("model.onnx", {"depth": np.ones(2)}, {"depth": np.array([1.0, 1.5])})
        Traceback (most recent call last):
        mtljax.errors.UserError: model.onnx differs from the network by 0.5 in depth (of numbers up to 1.5)...
    """
    for name, right in wanted.items():
        right = np.asarray(right)
        if right.dtype.kind in "iub" and np.mean(np.asarray(found[name]) != right) <= _OTHER:
            continue
        right = right.astype(np.float64)
        if not np.isfinite(right).all():
            raise UserError(
                f"the network itself gives numbers that are not finite in {name}, of inputs of noise, so {what} cannot "
                "be held against it; expected a network that was trained to finite figures. Nothing was written."
            )
        largest, off = (
            np.abs(right).max(initial=0.0),
            np.abs(np.asarray(found[name], np.float64) - right).max(initial=0.0),
        )
        if not off <= _CLOSE * max(1.0, largest):
            raise UserError(
                f"{what} differs from the network by {off:.2g} in {name} (of numbers up to {largest:.2g}): the format, "
                "or the library that wrote it, does not do what the network does. Nothing was written."
            )
