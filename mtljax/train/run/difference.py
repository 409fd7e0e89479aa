"""What differs between a saved state and the one that a config makes: arrays lacking, left over, or of other shapes."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Shapes = Mapping[str, tuple[int, ...]]  # path -> shape

_PARTS = ("params", "model_state", "balance", "optimizer")  # what is told first
_TOLD = 10


def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a state, or of what Orbax tells of a saved one, by its path.

    Example:
        >>> shapes({"params": {"kernel": jax.ShapeDtypeStruct((3, 4), "float32")}})
        {'params/kernel': (3, 4)}
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): _stored(leaf) for path, leaf in leaves}


def _stored(leaf: Any) -> tuple[int, ...]:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return tuple(leaf.shape)


def differences(there: Shapes, now: Shapes) -> list[str]:
    """A line for each difference, parameters first; a part that only one of them has is one line.

    Args:
        there: the shapes of the saved state.
        now: those of the wanted one.

    Example:
        >>> differences({"params/a/w": (2,), "params/b/w": (2,)}, {"params/a/w": (3,), "params/c/w": (2,)})
        ['params/a/w: (2,) there, (3,) now', 'params/b: there, not now', 'params/c: not there, new']
    """
    found = {
        path: f"{there[path]} there, {now[path]} now" for path in there.keys() & now.keys() if there[path] != now[path]
    }
    found |= {part: "there, not now" for part in _tops(there.keys() - now.keys(), now)}
    found |= {part: "not there, new" for part in _tops(now.keys() - there.keys(), there)}
    return [f"{path}: {found[path]}" for path in sorted(found, key=_order)]


def _tops(paths: Iterable[str], others: Iterable[str]) -> set[str]:
    """The largest parts that hold the paths and none of the others."""
    taken = {part for other in others for part in _parts(other)}
    # An array that is a whole part in the other is told by its own name.
    return {next((part for part in _parts(path) if part not in taken), path) for path in paths}


def _parts(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[: i + 1]) for i in range(len(names))]


def _order(path: str) -> tuple[int, str]:
    first = path.split("/")[0]
    return (_PARTS.index(first) if first in _PARTS else len(_PARTS)), path


def told(lines: list[str]) -> str:
    """The lines, indented; of many, the first."""
    more = [f"and {len(lines) - _TOLD} more"] if len(lines) > _TOLD else []
    return "\n".join(f"  {line}" for line in lines[:_TOLD] + more)


def can_start_from(there: Shapes, now: Shapes) -> bool:
    """Whether `init_from` can take saved variables: some have the same name and shape, others none but of heads."""
    both = [path for path in there.keys() & now.keys() if path.split("/")[0] in ("params", "model_state")]
    same = [path for path in both if there[path] == now[path]]
    return any(path.startswith("params/") for path in same) and all(map(of_a_head, set(both) - set(same)))


def of_a_head(path: str) -> bool:
    """Whether an array is one of a task's head, which may be for another number of classes than that of another run.

    Example:
        >>> of_a_head("params/heads_segment/Dense_0/kernel"), of_a_head("params/encoder/conv1/kernel")
        (True, False)
    """
    return any(part.startswith("heads_") for part in path.split("/")[1:2])
