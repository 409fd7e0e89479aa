"""Which tasks a parameter belongs to."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

Shared = str | Callable[[str], bool] | Any


class Owners(tuple):
    """The indices of the tasks whose losses depend on a parameter; a leaf of a tree.

    Attributes:
        private: whether the parameter, or each slice of it, is one task's own.
        axis: where slices of it are different tasks' (heads stacked for a `vmap`), their axis; else None.
        slices: the task of each position along that axis, None for that of no task.
    """

    private: bool
    axis: int | None
    slices: tuple[int | None, ...]

    def __new__(
        cls, tasks: Any, private: bool | None = None, axis: int | None = None, slices: tuple[int | None, ...] = ()
    ) -> "Owners":
        """Makes owners of task indices; by default, a parameter of more than one is shared."""
        self = super().__new__(cls, tasks)
        self.private = len(self) < 2 if private is None else private
        self.axis, self.slices = axis, slices
        return self

    def __eq__(self, other: object) -> bool:
        """As tuples, and in how the tasks share the parameter."""
        return tuple.__eq__(self, other) and self._key() == (other._key() if isinstance(other, Owners) else None)

    def __hash__(self) -> int:
        """In keeping with `==`."""
        return hash((tuple(self), self._key()))

    def _key(self) -> Any:
        return None if self.axis is None and self.private == (len(self) < 2) else (self.private, self.axis, self.slices)


Uses = Mapping[int, set[tuple[int, int] | None]]


def owners_of(uses: Sequence[Uses], shapes: Sequence[tuple[int, ...]]) -> list[Owners]:
    """The owners of parameters, of which each task uses parts: `(axis, index)`, or None for all of it.

    Slices count as their tasks' own beside parameters that are shared. Where nothing else is, as of one vector of which
    each loss sees an element, the whole is shared.
    """
    whole = [Owners(sorted(use)) for use in uses]
    sliced = [_by_slices(use, shape) for use, shape in zip(uses, shapes, strict=True)]
    if all(owner.private or cut for owner, cut in zip(whole, sliced, strict=True)):
        return whole
    return [cut or owner for owner, cut in zip(whole, sliced, strict=True)]


def _by_slices(uses: Uses, shape: tuple[int, ...]) -> Owners | None:
    """The owners of a parameter's slices; None where they are not each one task's, along one axis."""
    parts = [part for used in uses.values() for part in used]
    tasks = {part: task for task, used in uses.items() for part in used if part is not None}
    if len(uses) < 2 or None in parts or len(tasks) < len(parts) or len({axis for axis, _ in tasks}) > 1:
        return None
    axis = next(iter(tasks))[0]
    return Owners(sorted(uses), True, axis, tuple(tasks.get((axis, i)) for i in range(shape[axis])))


def is_private(owners: tuple[int, ...]) -> bool:
    """Whether a parameter, or each slice of it, is one task's own: its Jacobian's leaf has the parameter's shape."""
    return owners.private if isinstance(owners, Owners) else len(owners) < 2


def scaled(leaf: jax.Array, owners: tuple[int, ...], weights: jax.Array) -> jax.Array:
    """A private parameter's gradient times its task's weight; any other as it is.

    Raises:
        ValueError: where slices are different tasks' and the leaf is but a part of the parameter along their axis.
    """
    if isinstance(owners, Owners) and owners.axis is not None:
        axis = owners.axis
        if leaf.shape[axis] != len(owners.slices):
            raise ValueError(
                f"a parameter whose {len(owners.slices)} slices along axis {axis} are different tasks' was split along "
                f"that axis (to {leaf.shape[axis]}): expected it whole there."
            )
        factors = jnp.stack([jnp.ones((), weights.dtype) if t is None else weights[t] for t in owners.slices])
        return (factors.reshape(-1, *[1] * (leaf.ndim - axis - 1)) * leaf).astype(leaf.dtype)
    return (weights[owners[0]] * leaf).astype(leaf.dtype) if len(owners) == 1 else leaf


def private_from(own: Any, shared: Any, owners: Any) -> Any:
    """The leaves of `own` that one task owns, and those of `shared` for the others."""
    leaves, structure = jax.tree.flatten(shared)
    trees = zip(structure.flatten_up_to(own), leaves, structure.flatten_up_to(owners), strict=True)
    return structure.unflatten([mine if is_private(owner) else ours for mine, ours, owner in trees])


def parts_of(leaf: jax.Array, owners: tuple[int, ...]) -> list[tuple[int, jax.Array]]:
    """What each task owns of a private parameter's leaf."""
    if not isinstance(owners, Owners) or owners.axis is None:
        return [(task, leaf) for task in owners]
    return [(t, jax.lax.index_in_dim(leaf, i, owners.axis)) for i, t in enumerate(owners.slices) if t is not None]


def names_of(params: Any) -> list[str]:
    """The paths of a tree's leaves, such as `encoder/kernel`."""
    paths = jax.tree_util.tree_leaves_with_path(params)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]


def pattern_matches(pattern: str, name: str) -> bool:
    """Whether a path is meant: by a regular expression for all of it, or as part of what has the pattern's path."""
    return bool(re.fullmatch(pattern, name)) or name.startswith(f"{pattern}/")


def told(owners: Any, params: Any, shared: Shared) -> Any:
    """The owners, with what is shared and what is private as the caller says.

    Args:
        owners: a tree as `params`.
        params: the parameters.
        shared: which are shared: a tree of bools, or a prefix of one; a function of a path, as `"encoder/kernel"`; or
            a string, the path of a parameter or of a group, or a regular expression for whole paths.

    Raises:
        ValueError: for a tree of another structure, or a string that names no parameter.
    """
    structure, names = jax.tree.structure(params), names_of(params)
    if isinstance(shared, str):
        chosen = [pattern_matches(shared, name) for name in names]
        if not any(chosen):
            close = difflib.get_close_matches(shared, names, n=1, cutoff=0.0)
            raise ValueError(f"shared={shared!r} names no parameter; did you mean {close[0]!r}?")
    elif callable(shared):
        chosen = [bool(shared(name)) for name in names]
    else:
        try:
            chosen = jax.tree.leaves(jax.tree.broadcast(shared, params))
        except (TypeError, ValueError) as error:
            raise ValueError(f"shared=...: expected a tree of bools as params, {structure}; {error}") from error
    pairs = zip(structure.flatten_up_to(owners), chosen, strict=True)
    return structure.unflatten([_as_told(owner, bool(is_shared)) for owner, is_shared in pairs])


def _as_told(owners: Owners, shared: bool) -> Owners:
    if shared:
        return Owners(owners, private=False)
    return owners if owners.private else Owners(owners, private=True)
