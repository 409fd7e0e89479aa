"""Every method, with what holds of it: a new one is admitted by adding a row."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

import mtljax as mtl
from mtljax.balance.gramian import shared_rows


@dataclasses.dataclass(frozen=True)
class Method:
    """What is known of a method.

    Attributes:
        arguments: given beside `num_tasks`; a function is given `num_tasks` first.
        degree: A(cJ) = c^degree A(J) for c > 0, from a fresh state; None where no power holds.
        permutes: whether reordering the tasks leaves the direction as it is.
        never_conflicts: whether J d >= 0.
        needs_losses: whether `update` refuses to go without losses.
        per_task: whether the direction without a task that is absent is that of a balancer of one task less.
    """

    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    degree: float | None = 1
    permutes: bool = True
    never_conflicts: bool = False
    needs_losses: bool = False
    per_task: bool = True


RANDOM = Method(permutes=False)
METHODS = {
    "aligned_mtl": Method(),
    "auto_lambda": Method(degree=None),
    "cagrad": Method({"c": 1.0}, never_conflicts=True),
    "config": Method(never_conflicts=True),
    "constant": Method(),
    "cosmos": Method(needs_losses=True, per_task=False),
    "cr_mogm": Method({"balancer": mtl.imtl_g}),  # compiles in a third of the time that mgda takes
    "db_mtl": Method(needs_losses=True),
    "dualproj": Method(never_conflicts=True),
    "dwa": Method({"period": 2}, needs_losses=True),
    "equal": Method(),
    "excess_mtl": Method(),
    "fairgrad": Method(degree=-1 / 3),
    "famo": Method(needs_losses=True),
    "forum": Method(degree=None, per_task=False),  # it is; but its loop takes long step by step: see test_bilevel.py
    "geometric_mean": Method(needs_losses=True),
    "graddrop": Method(),
    "gradnorm": Method(needs_losses=True),
    "gradvac": RANDOM,
    "imtl": Method(needs_losses=True),
    "imtl_g": Method(),
    "imtl_l": Method(needs_losses=True),
    "krum": Method(permutes=False),  # of three tasks, two always tie
    "mean": Method(),
    "mgda": Method(never_conflicts=True),
    "moco": Method(degree=None),
    "modo": Method(degree=None),
    "moml": Method(degree=None, per_task=False),  # likewise
    "nash_mtl": Method(degree=0, never_conflicts=True),
    "pbi": Method(needs_losses=True, per_task=False),
    "pcd": Method({"eps": 0.0}, permutes=False),
    "pcgrad": RANDOM,
    "random_direction": Method(permutes=False, per_task=False),
    "random_weighting": Method(permutes=False, per_task=False),
    "sdmgrad": Method(),
    "stch": Method({"warmup": 2}, needs_losses=True),
    "sum": Method(),
    "trimmed_mean": Method(),
    "uncertainty": Method(needs_losses=True),
    "upgrad": Method(never_conflicts=True),
    "xtc": Method({"direct": 0}, permutes=False),
}
# One of each kind, by what they look at and solve with: for what depends on that, and not on the method.
KINDS = (
    "aligned_mtl", "auto_lambda", "cagrad", "constant", "db_mtl", "graddrop", "gradnorm", "imtl", "mgda", "modo",
    "nash_mtl", "pcgrad", "trimmed_mean", "uncertainty",
)  # fmt: skip


def make(name: str, num_tasks: int) -> Any:
    """The balancer of a row."""
    given = METHODS[name].arguments.items()
    balancer = getattr(mtl, name)(
        num_tasks, **{key: value(num_tasks) if callable(value) else value for key, value in given}
    )
    return looking_ahead(balancer) if balancer.needs else balancer


def looking_ahead(balancer: Any) -> Any:
    """A balancer that is given a validation batch: its losses, and those of training, fall as the Jacobian says."""

    def direct(jacobian: Any, state: Any, params: Any, *, losses: Any = None, **known: Any) -> Any:
        rows = shared_rows(jacobian, params, balancer.num_tasks)
        rows = [None if row is None else jnp.where(jnp.isfinite(row), row, 0.0) for row in rows]
        first = jnp.ones(balancer.num_tasks) if losses is None else losses

        def falling(at: Any) -> jax.Array:
            pairs = zip(rows, jax.tree.leaves(at), jax.tree.leaves(params), strict=True)
            return first + sum(row.reshape(len(row), -1) @ (p - q).ravel() for row, p, q in pairs if row is not None)

        ahead = mtl.balance.Ahead(params, falling, falling)
        return balancer.direct(jacobian, state, params, losses=losses, ahead=ahead, **known)

    return mtl.balance.Balancer(balancer.init, num_tasks=balancer.num_tasks, sees="jacobian", direct=direct)


@functools.cache
def made(name: str, num_tasks: int) -> Any:
    """The balancer of a row and its jitted update, compiled once for all tests of the same shapes in a process."""
    balancer = make(name, num_tasks)
    return balancer, jax.jit(balancer.update)


def is_key(leaf: jax.Array) -> bool:
    """Whether a leaf of a state is a key of random numbers."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def exported() -> set[str]:
    """The names of all methods that the package exports."""
    return {
        name
        for name in mtl.balance.__all__
        if getattr(getattr(mtl.balance, name), "__annotations__", {}).get("return") is mtl.balance.Balancer
    } - {"compose", "per_group", "from_rule", "from_jacobian_rule"}
