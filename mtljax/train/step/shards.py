"""Arrays in parts: which axis of each parameter is split over the mesh axis `fsdp`, and what is said between devices.

As in ZeRO's third stage (Rajbhandari et al. 2020), or PyTorch's FSDP: a device keeps a part of every parameter, of its
optimiser state and of each task's gradient; whole parameters are gathered for the step and let go after it.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

FSDP = "fsdp"


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which axis of an array is split.

    Attributes:
        parts: number of devices along `fsdp`.
        smallest: arrays of fewer elements stay whole.
    """

    parts: int
    smallest: int = 1024

    def axis(self, shape: tuple[int, ...]) -> int | None:
        """The longest axis that `parts` divides, the last of those that are equally long; None to stay whole.

        Example:
            >>> Rule(4).axis((3, 3, 128, 128)), Rule(4).axis((10, 1001)), Rule(4).axis((64,))
            (3, None, None)
        """
        if self.parts == 1 or np.prod(shape) < self.smallest:
            return None
        lengths = [(length, i) for i, length in enumerate(shape) if length % self.parts == 0]
        return max(lengths)[1] if lengths else None

    def spec(self, shape: tuple[int, ...]) -> PartitionSpec:
        """The partition of an array of this shape."""
        axis = self.axis(shape)
        return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, FSDP)


@dataclasses.dataclass(frozen=True)
class Shards:
    """How the parameters of one model are split, and what a replica inside `shard_map` does with its parts.

    Attributes:
        axes: a list over the leaves of `params` of the axis that is split, or None.
        data: the mesh axis beside `fsdp`.
    """

    axes: list[int | None]
    data: str

    @classmethod
    def of(cls, params: Any, rule: Rule, data: str) -> "Shards":
        """For whole parameters, or their shapes."""
        return cls([rule.axis(jnp.shape(leaf)) for leaf in jax.tree.leaves(params)], data)

    def gathered(self, params: Any) -> Any:
        """Whole parameters of this device's parts."""

        def gather(leaf: jax.Array, axis: int | None) -> jax.Array:
            return leaf if axis is None else jax.lax.all_gather(leaf, FSDP, axis=axis, tiled=True)

        return self._map(gather, params)

    def summed(self, tree: Any) -> Any:
        """A tree as whole `params`, of this device's terms -> this device's parts of the sums over all devices."""

        def add(leaf: jax.Array, axis: int | None) -> jax.Array:
            if axis is None:
                return jax.lax.psum(leaf, (self.data, FSDP))
            part = jax.lax.psum_scatter(leaf, FSDP, scatter_dimension=axis, tiled=True)
            return part if jax.lax.axis_size(self.data) == 1 else jax.lax.psum(part, self.data)

        return self._map(add, tree)

    def own(self, tree: Any) -> Any:
        """This device's parts of a tree as whole `params`."""

        def cut(leaf: jax.Array, axis: int | None) -> jax.Array:
            if axis is None:
                return leaf
            length = leaf.shape[axis] // jax.lax.axis_size(FSDP)
            return jax.lax.dynamic_slice_in_dim(leaf, jax.lax.axis_index(FSDP) * length, length, axis)

        return self._map(cut, tree)

    def once(self, tree: Any) -> Any:
        """A tree over the same leaves with those that every device holds whole made 0 on all devices but the first."""

        def keep(leaf: jax.Array, axis: int | None) -> jax.Array:
            return leaf if axis is not None else jnp.where(jax.lax.axis_index(FSDP) == 0, leaf, jnp.zeros_like(leaf))

        return self._map(keep, tree)

    def _map(self, function: Any, tree: Any) -> Any:
        leaves, structure = jax.tree.flatten(tree)
        return structure.unflatten([function(leaf, axis) for leaf, axis in zip(leaves, self.axes, strict=True)])
