"""Who owns each parameter: the tasks whose losses depend on it."""

import dataclasses
from typing import Any

import jax
from jax.extend import core

from mtljax.balance import is_private


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Owners:
    """Who owns each parameter: known when a step is traced, so it may leave a mapped function beside its arrays.

    Attributes:
        leaves: for each leaf of `params`, the indices of the tasks whose losses depend on it.
    """

    leaves: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, tree: Any, params: Any) -> "Owners":
        """Of a tree as `params` of tuples of indices."""
        return cls(tuple(jax.tree.structure(params).flatten_up_to(tree)))

    def tree(self, params: Any) -> Any:
        """A tree as `params` of tuples of indices."""
        return jax.tree.structure(params).unflatten(self.leaves)


def private_from(own: Any, shared: Any, owners: Any) -> Any:
    """The leaves of `own` that one task owns, and those of `shared` for the others."""
    leaves, structure = jax.tree.flatten(shared)
    trees = zip(structure.flatten_up_to(own), leaves, structure.flatten_up_to(owners), strict=True)
    return structure.unflatten([mine if is_private(owner) else ours for mine, ours, owner in trees])


def through(tangent: Any, point: Any, owners: Any) -> Owners:
    """The owners of parameters, directly and through features.

    Args:
        tangent: the linear map from `params` to the features.
        point: dict of `params` and `features`.
        owners: a tree as `point` of tuples of indices.
    """
    jaxpr = jax.make_jaxpr(tangent)(point["params"]).jaxpr
    needed = {var for var in jaxpr.outvars if not isinstance(var, core.Literal)}
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed.update(var for var in equation.invars if not isinstance(var, core.Literal))
    direct, behind = (Owners.of(owners[part], point[part]).leaves for part in ("params", "features"))
    behind = {task for owner in behind for task in owner}
    pairs = zip(direct, jaxpr.invars, strict=True)
    return Owners(tuple(tuple(sorted({*owner, *behind})) if var in needed else owner for owner, var in pairs))
