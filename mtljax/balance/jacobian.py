"""The losses of all tasks and their Jacobian: shared parameters stacked over tasks, private ones as they are."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtljax.balance.balancer import Weights
from mtljax.balance.gramian import Gramian, RunningGramian
from mtljax.balance.linearized.in_step import in_order, in_step
from mtljax.balance.linearized.losses import checked, stacked
from mtljax.balance.linearized.owners import Owners, Shared, private_from, told
from mtljax.balance.linearized.recompute import recomputed
from mtljax.balance.linearized.rows import split
from mtljax.balance.linearized.vectorised import check_vectorised
from mtljax.balance.over_devices import refuse_explicit, varying_as

_MIXED = (
    "losses_fn: some losses come together out of {operations}, through which they cannot be told apart, so every "
    "parameter in front of it counts as shared by them. Return the losses apart (a dict or a tuple), or say which "
    "parameters are shared: shared='encoder'."
)


@dataclasses.dataclass(frozen=True)
class Linearized:
    """The losses at one point and their derivative there, read row by row or as one weighted sum.

    Under `jit` a read costs one backward pass through what the leaves that are used depend on, and no more.

    Attributes:
        losses: (T,) float.
        aux: what `losses_fn` returned beside its losses, or None.
        owners: a tree as `params`: for each leaf, the indices of the tasks whose losses depend on it.
        row: (t, number) -> the gradient of loss t times a number, a tree as `params`.
        pull: cotangents (T,) of the losses -> the gradient of their sum, a tree as `params`.
    """

    losses: jax.Array
    aux: Any
    owners: Any
    row: Callable[[int, jax.Array], Any]
    pull: Callable[[jax.Array], Any]

    def weighted(self, weights: jax.Array | Weights) -> Any:
        """The gradient of the weighted sum of all losses, a tree as `params`, of one backward pass.

        Where the derivative of a loss is no number, so is this, even at weight 0.

        Args:
            weights: (T,), or those that a balancer's `weigh` gives, some of them for private leaves alone.
        """
        if not isinstance(weights, Weights):
            return self.pull(weights)
        gradient = self.pull(weights.shared)
        if weights.private is weights.shared:
            return gradient
        return private_from(self.pull(weights.private), gradient, self.owners)

    def jacobian(self, *, vectorised: bool = False, each: Callable[[Any], Any] = lambda row: row) -> Any:
        """Rows stacked where more than one task owns a leaf; its owner's row elsewhere.

        Args:
            vectorised: whether the rows are computed together, under `vmap`, rather than one after the other.
            each: applied to every row, a tree as `params`, before they are stacked.

        Raises:
            ValueError: for `vectorised` where the compiler gets it wrong (`mtl.balance.mapped_rows_fail`).
        """
        rows = self._rows(vectorised, each)

        def assemble(owners: Owners, *leaves: jax.Array) -> jax.Array:
            if not owners.private:
                return jnp.stack(leaves)
            # Of slices that are different tasks' own, each row holds its task's, and zeros.
            return functools.reduce(jnp.add, [leaves[t] for t in owners or (0,)])

        structure = jax.tree.structure(rows[0])
        owners = structure.flatten_up_to(self.owners)
        return structure.unflatten(map(assemble, owners, *map(jax.tree.leaves, rows)))

    def gramian(
        self,
        *,
        vectorised: bool = False,
        each: Callable[[Any], Any] = lambda row: row,
        axis_name: str | None = None,
    ) -> Gramian:
        """The norms and cosines of the rows of shared leaves, without a Jacobian.

        The rows of a leaf are looked at together and let go, so that under `jit` they need not be held all at once.

        Args:
            vectorised: as of `jacobian`.
            each: applied to every row, a tree as `params`: gives what counts for norms and cosines.
            axis_name: a mapped axis over which rows are split, if any.

        Raises:
            ValueError: as of `jacobian`.
        """
        number = len(self.losses)
        shared = [i for i, owners in enumerate(jax.tree.leaves(self.owners)) if not owners.private]
        running = RunningGramian.of_none(number)
        if vectorised:
            rows = [jax.tree.leaves(row) for row in self._rows(vectorised, each)]
            for i in shared:
                running = running.plus([row[i] for row in rows])
        else:
            rows = [lambda by, t=t: each(self.row(t, by)) for t in range(number)]
            one = jnp.ones((), self.losses.dtype)
            running = in_step(rows, one, shared, RunningGramian.plus, running, after=[self.losses])
        return running.gramian(axis_name)

    def _rows(self, vectorised: bool, each: Callable[[Any], Any]) -> list[Any]:
        number = len(self.losses)
        if not vectorised:
            return [each(self.row(t, jnp.ones((), self.losses.dtype))) for t in range(number)]
        check_vectorised()
        stacked = jax.vmap(self.pull)(jnp.eye(number, dtype=self.losses.dtype))
        return [each(jax.tree.map(lambda leaf, t=t: leaf[t], stacked)) for t in range(number)]


def linearize_at(
    losses_fn: Callable[..., Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
    shared: Shared | None = None,
    recompute: bool = False,
    **kwargs: Any,
) -> Linearized:
    """Evaluates `losses_fn(params, *args, **kwargs)` once and linearizes it in `params`.

    Arguments and errors are those of `value_and_jacobian`, and `recompute` is that of `linearize`.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            place = jax.tree_util.keystr(path, simple=True, separator="/") or "the parameters"
            raise ValueError(
                f"{place}: {jnp.result_type(leaf)} has no derivative; expected floats among the parameters."
            )

    refuse_explicit(jax.tree.leaves(params))

    def apart(params: Any) -> tuple[Any, Any]:
        output = losses_fn(params, *args, **kwargs)
        losses, aux = output if has_aux else (output, None)
        return checked(losses), aux

    found, tangent, aux = jax.linearize(recomputed(apart) if recompute else apart, params, has_aux=True)
    losses = stacked(found)
    of_task = found if isinstance(found, tuple) else [losses[0]] * len(losses)
    parts = split(tangent, params, len(losses))
    if shared is None and parts.mixed and len(jax.tree.leaves(params)) > 1:
        warnings.warn(_MIXED.format(operations=", ".join(parts.mixed)), stacklevel=3)

    def pull(weights: jax.Array) -> Any:
        weights = jnp.asarray(weights, losses.dtype)
        if weights.shape != losses.shape:
            raise ValueError(f"weights must have shape {losses.shape}, one a task, not {weights.shape}.")
        return in_order(summed, weights) if recompute else summed(weights)

    def summed(weights: jax.Array) -> Any:
        apart = tuple(map(varying_as, weights, found)) if isinstance(found, tuple) else varying_as(weights, found)
        return jax.linear_transpose(tangent, params)(apart)[0]

    return Linearized(
        losses=losses,
        aux=aux,
        owners=parts.owners if shared is None else told(parts.owners, params, shared),
        row=lambda t, by: jax.linear_transpose(parts.rows[t], params)(varying_as(by, of_task[t]))[0],
        pull=pull,
    )


def value_and_jacobian(
    losses_fn: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    shared: Shared | None = None,
) -> Callable[..., Any]:
    """The losses of T tasks and their Jacobian: to many losses what `jax.value_and_grad` is to one.

    A *shared* leaf of `params`, one that more than one loss depends on, comes stacked: `(T, *shape)`. A *private* leaf
    (a head's) keeps its shape and holds its own task's gradient, so heads cost no T-fold memory or compute; so does a
    leaf of which each task uses a slice (heads stacked for a `vmap`); a leaf that no loss depends on holds zeros. Which
    is which is read from the program itself, through `jit`, `jax.checkpoint`, `cond`, `scan` and `vmap`, as far as
    losses can be told apart in it: best return them as a dict or a sequence. Where they come together out of an
    operation that mixes them, every leaf in front of it counts as shared, with a warning; `shared` says it better.

    The forward pass runs once and the backward pass once a task, unrolled.

    Args:
        losses_fn: `(params, *args, **kwargs) -> losses`, T float scalars in a dict, a sequence or an array `(T,)`.
        argnums: which positional argument is the parameters; several are a tuple of them, and so is the Jacobian, and
            paths begin with their place in it (`"0/encoder/kernel"`).
        has_aux: whether it returns `(losses, aux)`.
        shared: which leaves are shared, instead of what the program says: a tree of bools (or a prefix of one), a
            function of a leaf's path (`"encoder/kernel"`), or a string, a path or a regular expression for whole paths.
            A leaf told to be private holds the sum of its tasks' gradients: right where each task has its own slice.

    Returns:
        A function of the same arguments that returns `(losses, jacobian)`, losses `(T,)`; with `has_aux`,
        `((losses, aux), jacobian)`.

    Raises:
        ValueError: where the losses are not T scalars, a parameter is no float, `shared` does not fit the parameters,
            or there are not as many arguments as `argnums` says.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = {"shared": jnp.array([1.0, 2.0]), "a": jnp.array(3.0), "b": jnp.array(4.0)}
        >>> def losses_fn(params):
        ...     return params["a"] * params["shared"][0], params["b"] * params["shared"][1]
        >>> losses, jacobian = mtl.value_and_jacobian(losses_fn)(params)
        >>> print(losses, jacobian["shared"].shape, jacobian["a"], jacobian["b"])
        [3. 8.] (2, 2) 1.0 2.0
    """

    def value_and_jacobian_fn(*args: Any, **kwargs: Any) -> Any:
        params, of_params = _by_place(losses_fn, argnums, args)
        value, at = linearize(of_params, has_aux=has_aux, shared=shared)(params, **kwargs)
        return value, at.jacobian()

    return value_and_jacobian_fn


def _by_place(
    function: Callable[..., Any], argnums: int | Sequence[int], args: tuple[Any, ...]
) -> tuple[Any, Callable[..., Any]]:
    """The arguments at the places given, and the function of these alone."""
    places = [argnums] if isinstance(argnums, int) else list(argnums)
    if not places or any(not -len(args) <= place < len(args) for place in places):
        raise ValueError(f"argnums={argnums!r}: expected places among the {len(args)} positional arguments.")
    places = [place % len(args) for place in places]

    def of_chosen(chosen: Any, **kwargs: Any) -> Any:
        given = list(args)
        for place, value in zip(places, [chosen] if isinstance(argnums, int) else chosen, strict=True):
            given[place] = value
        return function(*given, **kwargs)

    return args[places[0]] if isinstance(argnums, int) else tuple(args[place] for place in places), of_chosen


def linearize(
    losses_fn: Callable[..., Any], *, has_aux: bool = False, shared: Shared | None = None, recompute: bool = False
) -> Callable[..., Any]:
    """The losses of T tasks, and their derivative there, to be read as it is needed.

    For surgery at the memory of one gradient: a method that sees norms and angles of gradients needs no Jacobian, but
    the Gramian, from which it makes a weight a task, and then one weighted pass. The functions are pure; under `jit`
    the forward pass runs once.

    Args:
        losses_fn: as of `value_and_jacobian`.
        has_aux: as there.
        shared: as there.
        recompute: whether each backward pass makes again what was made element by element, instead of keeping it.
            `losses_fn` then gives nothing but arrays, as to `jax.checkpoint`.

    Returns:
        A function of the same arguments that returns `(losses, at)`, losses `(T,)`, or `((losses, aux), at)`, `at` with
        `at.gramian()`, `at.weighted(weights)`, the gradient of the weighted sum, and `at.jacobian()`.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> def losses_fn(params):
        ...     return params["a"] * params["shared"][0], params["b"] * params["shared"][1]
        >>> params = {"shared": jnp.array([1.0, 2.0]), "a": jnp.array(3.0), "b": jnp.array(4.0)}
        >>> balancer = mtl.pcgrad(num_tasks=2)
        >>> losses, at = mtl.linearize(losses_fn)(params)
        >>> weights, state = balancer.weigh(balancer.init(params), losses=losses, gramian=at.gramian())
        >>> print(at.weighted(weights)["shared"])
        [3. 4.]
    """

    def at_point(params: Any, *args: Any, **kwargs: Any) -> Any:
        at = linearize_at(losses_fn, params, *args, has_aux=has_aux, shared=shared, recompute=recompute, **kwargs)
        return ((at.losses, at.aux) if has_aux else at.losses), at

    return at_point
