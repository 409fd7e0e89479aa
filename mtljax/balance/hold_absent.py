"""No gradient is not a zero gradient: parameters that no present task reaches stay as they are."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtljax.balance.balancer import BalanceState
from mtljax.balance.linearized.owners import Owners


class Holding(optax.GradientTransformationExtraArgs):
    """What `hold_absent` makes, so that none is wrapped twice."""


def hold_absent(tx: optax.GradientTransformation, owners: Any = None) -> Holding:
    """Keeps parameters, and what an optimiser remembers of them, where no task that is present reaches them.

    To Adam a gradient of zeros is a gradient: momentum and weight decay go on moving the head of a task that has no
    label in a batch. Under this wrapper the updates of parameters that no present task's loss depends on are 0, and
    so the parts of the state that have the structure of the parameters keep theirs (moments, traces). Where no present
    task reaches any of the parameters that `tx` updates, all of its state stays, counts of steps too; so give each
    group of an `optax.partition` a wrapper of its own.

    Args:
        tx: an optax transformation; it may hold the balancer, whose bad rows then count as absent.
        owners: a tree as the parameters of tuples of task indices, as `mtl.balance.linearize_at(...).owners`. May be
            left to `update`.

    Returns:
        A transformation whose state is that of `tx`. Its `update` takes `present=` (T,) bool, which may be left out
        where `tx` holds a balancer, and `owners=`, and gives both to `tx`.

    Raises:
        ValueError: in `update`, where it knows not which tasks are present, or who owns what.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl, optax
        >>> params = {"trunk": jnp.ones(2), "a": jnp.ones(2), "b": jnp.ones(2)}
        >>> at = mtl.balance.linearize_at(lambda p: ((p["trunk"] * p["a"]).sum(), (p["trunk"] * p["b"]).sum()), params)
        >>> tx = mtl.balance.hold_absent(optax.chain(mtl.equal(2), optax.adamw(0.1)), at.owners)
        >>> present = jnp.array([True, False])
        >>> updates, _ = tx.update(at.jacobian(), tx.init(params), params, losses=at.losses, present=present)
        >>> print(updates["b"])
        [0. 0.]
    """
    inner, given = optax.with_extra_args_support(tx), owners

    def update(
        updates: Any, state: Any, params: Any = None, *, present: Any = None, owners: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        owners = given if owners is None else owners
        known = {"present": present, "owners": owners}
        found, after = inner.update(
            updates, state, params, **extra, **{k: v for k, v in known.items() if v is not None}
        )
        reached = _reached(found, _present(present, after), owners)
        anything = _any([flag for flag in reached if flag is not None])
        after = _Leaves(found, reached).held(after, state)
        return where_reached(found, reached), _where(anything, after, state)

    return Holding(inner.init, update)


def reached_by(owner: tuple[int, ...], present: Any) -> jax.Array:
    """Whether any of the tasks that own a leaf is present, bool.

    Args:
        owner: indices of tasks, a leaf of `mtl.balance.linearize_at(...).owners`.
        present: (T,) bool.
    """
    return jnp.any(jnp.asarray(present)[np.array(owner, int)])


def parts_reached(owner: tuple[int, ...], present: Any, ndim: int) -> jax.Array:
    """Which of a leaf's slices a present task reaches, where they are different tasks'; else `reached_by` of the leaf.

    Args:
        owner: as in `reached_by`.
        present: (T,) bool.
        ndim: the leaf's number of axes.

    Returns:
        bool, of a shape that broadcasts with the leaf.
    """
    if not isinstance(owner, Owners) or owner.axis is None:
        return reached_by(owner, present)
    flags = [jnp.array(False) if task is None else jnp.asarray(present)[task] for task in owner.slices]
    return jnp.stack(flags).reshape(-1, *[1] * (ndim - owner.axis - 1))


def reached_leaves(
    ndims: Sequence[int | None], owners: Sequence[tuple[int, ...]], present: Any
) -> list[jax.Array | None]:
    """`parts_reached` of many leaves: leaves of the same owners have one flag, which is computed once.

    Args:
        ndims: of each leaf, its number of axes; None for one of which nothing is asked.
        owners: of each leaf, as in `reached_by`.
        present: (T,) bool.

    Returns:
        For each leaf its flags; None where nothing is asked.
    """
    keys = [(owner, (ndim or 0) if _sliced(owner) else 0) for ndim, owner in zip(ndims, owners, strict=True)]
    asked = [key for key, ndim in zip(keys, ndims, strict=True) if ndim is not None]
    flags = {key: parts_reached(key[0], present, key[1]) for key in dict.fromkeys(asked)}
    return [None if ndim is None else flags[key] for key, ndim in zip(keys, ndims, strict=True)]


def where_reached(updates: Any, reached: Sequence[jax.Array | None]) -> Any:
    """A tree with zeros where its leaves are not reached, as `reached_leaves` says of them; where that is None, as is.

    What stands where a leaf is not reached may be no number.
    """
    leaves, structure = jax.tree.flatten(updates, is_leaf=_masked)
    pairs = zip(leaves, reached, strict=True)
    return structure.unflatten([u if flag is None else jnp.where(flag, u, jnp.zeros_like(u)) for u, flag in pairs])


def _sliced(owner: tuple[int, ...]) -> bool:
    return isinstance(owner, Owners) and owner.axis is not None


def _where(flag: Any, new: Any, old: Any) -> Any:
    """One of two trees of one structure, by a bool."""
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def _present(given: Any, state: Any) -> Any:
    """Which tasks are present: as told, and as the balancers in a state have seen."""
    nodes = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, BalanceState))
    flags = [node.present for node in nodes if isinstance(node, BalanceState)]
    flags += [] if given is None else [jnp.asarray(given, bool)]
    if not flags:
        raise ValueError("hold_absent needs to know which tasks are present: call update(..., present=(T,) bools).")
    return jnp.all(jnp.stack(flags), axis=0)


def _reached(updates: Any, present: Any, owners: Any) -> list[jax.Array | None]:
    """For each leaf, whether a present task reaches it; None for those that a mask hides."""
    if owners is None:
        raise ValueError(
            "hold_absent needs to know which task owns which parameters: "
            "give owners=mtl.balance.linearize_at(losses_fn, params).owners."
        )
    leaves, structure = jax.tree.flatten(updates, is_leaf=_masked)
    tuples = structure.flatten_up_to(owners)
    if any(t >= len(present) for owner in tuples for t in owner):
        raise ValueError(f"owners name task {max(map(max, filter(None, tuples)))}; present has {len(present)} tasks.")
    return reached_leaves([None if _masked(leaf) else jnp.ndim(leaf) for leaf in leaves], tuples, present)


class _Leaves:
    """The leaves that a transformation updates, and which of them are reached."""

    def __init__(self, updates: Any, reached: list[jax.Array | None]) -> None:
        self._structure = jax.tree.structure(updates, is_leaf=_masked)
        self._reached = reached
        # Of leaves that are all reached together, the state is chosen once, as a whole.
        self._together = len({id(flag) for flag in reached if flag is not None}) < 2 and not any(
            map(_in_parts, reached)
        )

    def held(self, new: Any, old: Any) -> Any:
        """A new state, with what belongs to leaves that are not reached as it was."""
        return new if self._together else jax.tree.map(self._held, new, old, is_leaf=self._stops)

    def _stops(self, node: Any) -> bool:
        return isinstance(node, BalanceState | optax.MaskedState) or self._as_params(node)

    def _as_params(self, node: Any) -> bool:
        return jax.tree.structure(node, is_leaf=_masked) == self._structure

    def _held(self, new: Any, old: Any) -> Any:
        if isinstance(new, optax.MaskedState):
            inner = self.held(new.inner_state, old.inner_state)
            inside = self._inside(new.inner_state)
            inner = _where(_any(inside), inner, old.inner_state) if inside else inner
            return optax.MaskedState(inner)
        if isinstance(new, BalanceState) or not self._as_params(new):
            return new
        leaves, structure = jax.tree.flatten(new, is_leaf=_masked)
        triples = zip(leaves, jax.tree.leaves(old, is_leaf=_masked), self._reached, strict=True)
        return structure.unflatten([n if f is None or _masked(n) else _chosen(f, n, o) for n, o, f in triples])

    def _inside(self, state: Any) -> list[jax.Array]:
        """Of the leaves that a masked state has something of, whether they are reached."""
        trees = [node for node in jax.tree.leaves(state, is_leaf=self._as_params) if self._as_params(node)]
        seen = [jax.tree.leaves(tree, is_leaf=_masked) for tree in trees]
        return [flag for leaves in seen for leaf, flag in zip(leaves, self._reached, strict=True)
                if flag is not None and not _masked(leaf)]  # fmt: skip


def _in_parts(flag: jax.Array | None) -> bool:
    return flag is not None and jnp.ndim(flag) > 0


def _chosen(flag: jax.Array, new: Any, old: Any) -> jax.Array:
    """New where reached, slice by slice where the shape allows it: a state need not have its parameter's."""
    fits = jnp.ndim(new) >= jnp.ndim(flag) and jnp.broadcast_shapes(jnp.shape(flag), jnp.shape(new)) == jnp.shape(new)
    return jnp.where(flag if fits else jnp.any(flag), new, old)


def _masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


def _any(flags: list[jax.Array]) -> jax.Array:
    """Whether any flag is set, or there are none; many leaves have the same one, which is looked at once."""
    unique = list({id(flag): jnp.any(flag) for flag in flags}.values())
    return functools.reduce(jnp.logical_or, unique) if unique else jnp.array(True)
