"""Several hosts, one process each, as JAX's distributed runtime joins them."""

import contextlib
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import jax
import numpy as np

from mtljax.errors import UserError

_NAME = 16  # bytes for the name of a type
_PIECE = 1 << 28  # bytes of each host that are exchanged at once
_Found = TypeVar("_Found")
_told: list[UserError] = []  # the errors that all hosts have raised together
_GONE = re.compile("gloo|nccl|heartbeat|connection|unavailable|deadline|coordination", re.IGNORECASE)


def join(coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None) -> None:
    """Joins the other processes of this run, if there are any; to be called before JAX looks for devices.

    Args:
        coordinator: address and port of the first process, `host:port`. By default, what Slurm, a TPU pod or an
            indexed Kubernetes job says of itself; where this process runs in none of them, it runs alone.
        num_processes: how many there are.
        process_id: which this one is, from 0.

    Raises:
        UserError: where only some of the three are given, or the others cannot be reached.
    """
    given = (coordinator, num_processes, process_id)
    if any(x is not None for x in given) and any(x is None for x in given):
        raise UserError("--coordinator, --num_processes and --process_id go together, the same first two on all hosts.")
    if coordinator is None and not announced(os.environ):
        return
    if process_id is not None and num_processes is not None and not 0 <= process_id < num_processes:
        raise UserError(f"--process_id={process_id}: expected 0 to {num_processes - 1}, with --num_processes.")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"cannot join the other processes: {str(error).strip().splitlines()[0]}") from error


class Lost(SystemExit):
    """Another process of this run is gone; this one cannot go on, nor wait for it."""


def tells_of_loss(error: BaseException) -> bool:
    """Whether an error is that of an exchange with another process, which has not answered."""
    return jax.process_count() > 1 and not isinstance(error, UserError) and bool(_GONE.search(str(error)))


@contextlib.contextmanager
def watched(workdir: pathlib.Path) -> Iterator[None]:
    """Says so where another process is gone, and raises `Lost`."""
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        if not tells_of_loss(error):
            raise
        print(
            f"launch.py: error: lost contact with another process of this run: {str(error).strip().splitlines()[0]}\n"
            f"Start all processes again to go on from the newest checkpoint in {workdir}.",
            file=sys.stderr,
            flush=True,
        )
        raise Lost(3) from error


def announced(environment: Mapping[str, str]) -> bool:
    """Whether the environment is that of one of several processes under Slurm, on a TPU pod, or in Kubernetes.

    Example:
        >>> announced({"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "2"}), announced({"SLURM_JOB_ID": "7"})
        (True, False)
    """
    slurm = int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    tpu = len(environment.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1
    kubernetes = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    return slurm or tpu or kubernetes


def shard() -> tuple[int, int]:
    """(index, count) of this host."""
    return jax.process_index(), jax.process_count()


def first() -> bool:
    """Whether this is the host that prints and writes."""
    return jax.process_index() == 0


def total(tree: Any) -> Any:
    """Sums of NumPy numbers over all hosts, in float64."""
    if jax.process_count() == 1:
        return tree

    def added(x: Any) -> np.ndarray:
        mine = np.asarray(x, np.float64)
        return _gathered(mine.reshape(-1)).sum(axis=0).reshape(mine.shape)

    return jax.tree.map(added, tree)


def _gathered(x: np.ndarray) -> np.ndarray:
    """A vector of the same length and type on each host -> (hosts, length), bit by bit; JAX alone knows 32 bits."""
    from jax.experimental.multihost_utils import process_allgather

    found = process_allgather(np.frombuffer(x.tobytes(), np.uint8))
    return np.frombuffer(np.asarray(found, np.uint8).tobytes(), x.dtype).reshape(jax.process_count(), len(x))


def joined(tree: Any) -> Any:
    """NumPy arrays of any length from all hosts, one behind the other in the order of the hosts, bit by bit.

    Where hosts have them of several types, as one that has found nothing may, they are of a type that holds all.
    """
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(_joined, tree)


def _joined(x: np.ndarray) -> np.ndarray:
    types = _gathered(np.frombuffer(x.dtype.str.encode().ljust(_NAME), np.uint8))
    x = x.astype(np.result_type(*(np.dtype(bytes(row).decode().strip()) for row in types)))
    mine = np.frombuffer(np.ascontiguousarray(x).tobytes(), np.uint8)
    sizes = _gathered(np.array([len(mine)], np.int64))[:, 0]
    pieces: list[list[bytes]] = [[] for _ in sizes]
    for begin in range(0, int(sizes.max()), _PIECE):
        length = min(_PIECE, int(sizes.max()) - begin)
        part = mine[begin : begin + length]
        rows = _gathered(np.pad(part, (0, length - len(part))))
        for kept, row, size in zip(pieces, rows, sizes, strict=True):
            kept.append(row[: max(0, size - begin)].tobytes())
    whole = b"".join(piece for kept in pieces for piece in kept)
    return np.frombuffer(whole, x.dtype).reshape(-1, *x.shape[1:])


def whole(tree: Any) -> Any:
    """Arrays, of which a host may hold parts alone, as NumPy arrays that every host has whole; all must ask."""
    return jax.tree.map(_whole, tree)


def _whole(x: Any) -> np.ndarray:
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        return np.asarray(x)
    if x.is_fully_replicated:
        return np.asarray(x.addressable_data(0))
    from jax.experimental.multihost_utils import process_allgather

    return np.asarray(process_allgather(x, tiled=True))


def of_first(number: int) -> int:
    """The first host's number; all must ask."""
    if jax.process_count() == 1:
        return number
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return int(broadcast_one_to_all(np.array(number)))


def anywhere(flag: bool) -> bool:
    """Whether the flag is set on any host; all must ask."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental.multihost_utils import process_allgather

    return bool(np.any(process_allgather(np.array(flag))))


def raised_by_all(error: UserError | None) -> None:
    """Raises an error of the input on all hosts, where any has one: its own, or that of the first that has.

    All must ask: else those without one would wait for the others at the next exchange. What all have found themselves
    is known from then on to be an error of all (`is_alone`).

    Raises:
        UserError: where there is one on any host.
    """
    if jax.process_count() > 1:
        text = b"" if error is None else str(error).encode().replace(b"\0", b" ")
        told = _joined(np.frombuffer(text + b"\0", np.uint8)).tobytes().decode().split("\0")
        where = next((i for i, said in enumerate(told) if said), None)
        if error is None and where is not None:
            error = UserError(f"process {where} of this run: {told[where]}")
    if error is not None:
        _told[:] = [error]
        raise error


def agreed(act: Callable[[], _Found]) -> _Found:
    """What an act gives that exchanges nothing; where it raises `UserError` on any host, all do, and all must ask."""
    found, error = None, None
    try:
        found = act()
    except UserError as raised:
        error = raised
    raised_by_all(error)
    return cast(_Found, found)


def is_alone(error: Exception) -> bool:
    """Whether other hosts may not know of an error, and wait for this one: it is best to leave at once."""
    several = jax.distributed.is_initialized() and jax.process_count() > 1
    return several and all(error is not one for one in _told)
