"""Ways to spread a replica's step over devices. Each gives the same numbers as one device, to rounding."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mtljax.errors import UserError
from mtljax.train.step import AXIS


@dataclasses.dataclass(frozen=True)
class Spread:
    """How steps run on several devices.

    Attributes:
        name: for messages.
        num_devices: over which a batch is divided.
        train: wraps a training step of one replica, `(state, batch) -> (state, report)`. It gives up its old state.
        evaluate: wraps an evaluation step, `(variables, batch) -> (added up, predictions)`.
        place_batch: puts a host's batch of NumPy arrays where the steps want it.
        place_state: does the same for a state, or for what evaluation reads of it.
        collect: predictions as `evaluate` gave them -> NumPy arrays, batch axis first.
    """

    name: str
    num_devices: int
    train: Callable[[Callable], Callable]
    evaluate: Callable[[Callable], Callable]
    place_batch: Callable[[Any], Any]
    place_state: Callable[[Any], Any]
    collect: Callable[[Any], Any]

    def check_batch_size(self, batch_size: int) -> None:
        """Raises `UserError` where the devices do not divide the batch."""
        if batch_size < 1 or batch_size % self.num_devices:
            below = batch_size // self.num_devices * self.num_devices
            nearest = f"{below} or {below + self.num_devices}" if below > 0 else f"{self.num_devices}"
            raise UserError(
                f"batch_size={batch_size} cannot be divided over the {self.num_devices} devices of "
                f"parallel={self.name!r}; the nearest that can: {nearest}."
            )


def pmap() -> Spread:
    """`jax.pmap` over all devices: everything replicated but the batch.

    The state has no device axis: it is passed with `in_axes=None` and comes back with `out_axes=None`.
    """
    count = jax.device_count()

    def place_batch(batch: Any) -> Any:
        local = jax.local_device_count()
        return jax.tree.map(lambda x: x.reshape(local, -1, *x.shape[1:]), batch)

    return Spread(
        name="pmap",
        num_devices=count,
        train=lambda step: jax.pmap(
            step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, None), donate_argnums=(0,)
        ),
        evaluate=lambda step: jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, 0)),
        place_batch=place_batch,
        place_state=lambda state: state,
        collect=lambda tree: jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), tree),
    )


def mesh(data: int = -1) -> Spread:
    """`jax.jit` of a `jax.shard_map` over a mesh of one axis, `data`.

    Args:
        data: number of devices, -1 for all.

    Raises:
        UserError: where there are fewer devices than `data`.
    """
    available = jax.device_count()
    if data != -1 and not 1 <= data <= available:
        raise UserError(f"parallel='mesh(data={data})': expected -1 or 1 to {available}, the devices there are.")
    count = available if data == -1 else data
    devices = Mesh(np.array(jax.devices()[:count]), (AXIS,), axis_types=(AxisType.Auto,))
    whole, split = NamedSharding(devices, P()), NamedSharding(devices, P(AXIS))

    def sharded(step: Callable, predictions: Any, **options: Any) -> Callable:
        # Without the check of varying axes, gradients stay each replica's own until the step adds them up.
        replica = jax.shard_map(
            step, mesh=devices, in_specs=(P(), P(AXIS)), out_specs=(P(), predictions), check_vma=False
        )
        return jax.jit(replica, **options)

    return Spread(
        name=f"mesh(data={data})",
        num_devices=count,
        train=lambda step: sharded(step, P(), donate_argnums=(0,)),
        evaluate=lambda step: sharded(step, P(AXIS)),
        place_batch=lambda batch: jax.tree.map(lambda x: jax.make_array_from_process_local_data(split, x), batch),
        place_state=lambda state: jax.device_put(state, whole),
        collect=lambda tree: jax.tree.map(np.asarray, tree),
    )
