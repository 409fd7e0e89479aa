"""Ways to spread a replica's step over devices. Each gives the same numbers as one device, to rounding."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mtljax.errors import UserError
from mtljax.train.step.replica import Axis, Balanced
from mtljax.train.step.shards import FSDP, Rule, Shards

DATA = "data"
_BATCH = P((DATA, FSDP))
# Of what runs once, so that optimising it would cost more than it gains.
ONCE: dict[str, str | bool | int | float] = {"xla_backend_optimization_level": 0}


@dataclasses.dataclass(frozen=True)
class Spread:
    """How steps run on several devices.

    Attributes:
        name: for messages.
        num_devices: over which a batch is divided.
        axis: the mapped axis or axes over replicas.
        gradient: wraps the part of a training step that each replica takes on its own part of the batch.
        begin: wraps a function that makes a state, which then is made where the steps want it.
        train: wraps a training step made with that, `(state, batch) -> (state, report)`. It gives up its old state.
            A second argument says how many more the step takes, which are the same on all replicas.
        evaluate: wraps an evaluation step, `(variables, batch) -> (added up, predictions)`.
        place_batch: puts a host's batch of NumPy arrays where the steps want it.
        place_state: does the same for a state that each host has whole, or that was loaded into the form of `to_disk`.
        to_disk: a state as checkpoints store it.
        collect: predictions as `evaluate` gave them -> NumPy arrays of this host's examples, batch axis first.
    """

    name: str
    num_devices: int
    axis: Axis
    gradient: Callable[[Callable[..., Balanced]], Callable[..., Balanced]]
    begin: Callable[[Callable[..., Any]], Any]
    train: Callable[..., Any]
    evaluate: Callable[[Callable], Callable]
    place_batch: Callable[[Any], Any]
    place_state: Callable[[Any], Any]
    to_disk: Callable[[Any], Any]
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
        axis=DATA,
        gradient=lambda replica: replica,  # all of the step runs on every replica
        begin=lambda make: jax.jit(make, compiler_options=ONCE),
        train=lambda step, alike=0: jax.pmap(
            step, axis_name=DATA, in_axes=(None, 0, *[None] * alike), out_axes=(None, None), donate_argnums=(0,)
        ),
        evaluate=lambda step: jax.pmap(step, axis_name=DATA, in_axes=(None, 0), out_axes=(None, 0)),
        place_batch=place_batch,
        place_state=lambda state: jax.tree.map(_whole_here, state),
        to_disk=_over_all_devices,
        collect=lambda tree: jax.tree.map(lambda x: _on_this_host(x).reshape(-1, *x.shape[2:]), tree),
    )


def mesh(data: int = -1, fsdp: int = 1, smallest: int = 1024) -> Spread:
    """`jax.jit` over a mesh of two axes: the batch is split over both, parameters and what goes with them over `fsdp`.

    A device keeps 1/fsdp of the parameters, of their optimiser state and, under a method that sees losses or norms and
    angles, of the stacked Jacobian. Whole parameters are gathered for a step; each row of the Jacobian is added up and
    cut in one reduce-scatter, and from it only the T x T Gramian is added up. A method that sees every element gets the
    whole Jacobian on every device.

    Args:
        data: number of devices along `data`, -1 for all that are left.
        fsdp: number of devices along `fsdp`.
        smallest: arrays of fewer elements stay whole.

    Raises:
        UserError: where there are not so many devices, or none is to be left and `fsdp` does not divide them.
    """
    available = jax.device_count()
    if not 1 <= fsdp <= available:
        raise UserError(f"parallel='mesh(fsdp={fsdp})': expected 1 to {available}, the devices there are.")
    if data != -1 and not 1 <= data <= available // fsdp:
        over = "" if fsdp == 1 else f" over fsdp={fsdp}"
        raise UserError(
            f"parallel='mesh(data={data})': expected -1 or 1 to {available // fsdp}, the devices there are{over}."
        )
    count = available // fsdp if data == -1 else data
    if data == -1 and available % fsdp:
        raise UserError(
            f"parallel='mesh(fsdp={fsdp})': the {available} devices cannot be divided by {fsdp}; expected fsdp that "
            f"does, or data={count}, which leaves {available % fsdp} of them idle."
        )
    devices = np.array(jax.devices()[: count * fsdp]).reshape(count, fsdp)
    found = Mesh(devices, (DATA, FSDP), axis_types=(AxisType.Auto, AxisType.Auto))
    name = f"mesh(data={data})" if fsdp == 1 else f"mesh(data={data}, fsdp={fsdp})"
    return _OverMesh(found, Rule(fsdp, smallest)).spread(name)


@dataclasses.dataclass(frozen=True)
class _OverMesh:
    mesh: Mesh
    rule: Rule

    def spread(self, name: str) -> Spread:
        split = NamedSharding(self.mesh, _BATCH)
        return Spread(
            name=name,
            num_devices=self.mesh.size,
            axis=(DATA, FSDP),
            gradient=self.gradient,
            begin=self.begin,
            train=self.train,
            evaluate=self.evaluate,
            place_batch=lambda batch: _batch_placed(batch, split),
            place_state=lambda state: _placed(state, self.shardings(state)),
            to_disk=lambda state: state,
            collect=lambda tree: jax.tree.map(_on_this_host, tree),
        )

    def shardings(self, state: Any) -> Any:
        """Where each array of a state lives. One of a parameter's shape goes where the parameter goes."""
        return jax.tree.map(lambda x: NamedSharding(self.mesh, self.rule.spec(np.shape(x))), state)

    def gradient(self, replica: Callable[..., Balanced]) -> Callable[..., Balanced]:
        def replicas(params: Any, *state: Any) -> Balanced:
            shards = None if self.rule.parts == 1 else Shards.of(params, self.rule, DATA)
            specs = jax.tree.map(lambda x: self.rule.spec(x.shape), params)
            out = Balanced._make([specs, *[P()] * (len(Balanced._fields) - 1)])
            # Without the check of varying axes, gradients stay each replica's own until the step adds them up.
            return jax.shard_map(
                functools.partial(replica, shards=shards),
                mesh=self.mesh,
                in_specs=(specs, P(), P(), _BATCH, *[P()] * (len(state) - 3)),
                out_specs=out,
                check_vma=False,
            )(params, *state)

        return replicas

    def begin(self, make: Callable[..., Any]) -> Any:
        def placed(*arguments: Any) -> Any:
            state = make(*arguments)
            return jax.lax.with_sharding_constraint(state, self.shardings(state))

        return jax.jit(placed, compiler_options=ONCE)

    def train(self, step: Callable, alike: int = 0) -> Any:
        if jax.process_count() > 1 and self.mesh.size < jax.device_count():
            raise UserError(
                f"config.parallel takes {self.mesh.size} of {jax.device_count()} devices; expected all of them, since "
                "each of several processes trains on its own."
            )

        def placed(state: Any, batch: Any, *others: Any) -> tuple[Any, Any]:
            state, report = step(state, batch, *others)
            return jax.lax.with_sharding_constraint(state, self.shardings(state)), report

        return jax.jit(placed, donate_argnums=(0,))

    def evaluate(self, step: Callable) -> Callable:
        return jax.jit(
            jax.shard_map(step, mesh=self.mesh, in_specs=(P(), _BATCH), out_specs=(P(), _BATCH), check_vma=False)
        )


def _on_this_host(x: jax.Array) -> np.ndarray:
    """The part of an array, split over its first axis, that this host's devices hold."""
    if x.is_fully_addressable:
        return np.asarray(x)
    pieces = sorted(x.addressable_shards, key=lambda piece: piece.index[0].start or 0)
    return np.concatenate([np.asarray(piece.data) for piece in pieces])


def _batch_placed(batch: Any, sharding: NamedSharding) -> Any:
    """This host's batch as its part of that of all hosts."""
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)  # all arrays in one call, which costs the loop less than one for each
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def _placed(state: Any, shardings: Any) -> Any:
    """A state that every host has made for itself, as one over the devices of all; others as they are."""
    if jax.process_count() == 1:
        return jax.device_put(state, shardings)

    def put(x: jax.Array, sharding: NamedSharding) -> jax.Array:
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            return x
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(x), sharding), impl=jax.random.key_impl(x))
        on_host = np.asarray(x)
        return jax.make_array_from_callback(on_host.shape, sharding, lambda index: on_host[index])

    return jax.tree.map(put, state, shardings)


def _over_all_devices(state: Any) -> Any:
    """A replicated state as one array over all devices, the only form that Orbax stores from several hosts."""
    if jax.process_count() == 1:
        return state
    everywhere = NamedSharding(Mesh(np.array(jax.devices()), (DATA,)), P())
    state = jax.tree.map(_whole_here, state)
    return _placed(state, jax.tree.map(lambda _: everywhere, state))


def _whole_here(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """A replicated array of all hosts as this host's own; what the host has made itself as it is."""
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        return x
    return x.addressable_data(0)
