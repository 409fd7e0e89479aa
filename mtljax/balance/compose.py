"""One balancer after the other: weigh the rows, then combine."""

import zlib
from typing import Any, cast

import jax
import jax.numpy as jnp

from mtljax.balance.balancer import Balancer, BalanceState, Direct, Sees, Weigh, Weights, scale_private
from mtljax.balance.gramian import Gramian, gramian, shared_rows


def compose(*balancers: Balancer) -> Balancer:
    """Weighs losses or gradients by one balancer, then balances the weighted ones by the next.

    Each sees the Jacobian and the losses multiplied by the weights of those before it: `compose(imtl_l(3), imtl_g(3))`
    is IMTL, `compose(gradnorm(3), pcgrad(3))` removes conflicts from gradients of like norms. Private parameters are
    scaled by the loss weightings among them. Each draws its own random numbers, whatever their seeds; the first that
    draws any, as it would alone.

    Args:
        *balancers: of the same number of tasks; all but the last must give a weight a task.

    Returns:
        An optax `Aggregator` that looks at what any of them looks at.

    Raises:
        ValueError: without balancers, for different numbers of tasks, or where one before the last gives no weights
            (it sees the whole Jacobian).

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.compose(mtl.constant(2, weights=(2.0, 1.0)), mtl.pcgrad(2))
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]  # pcgrad of [[2, 0], [-1, 1]]
        [1.0, 2.0]
    """
    if not balancers:
        raise ValueError("compose() needs at least one balancer.")
    for balancer in balancers:
        if not isinstance(balancer, Balancer):
            raise ValueError(f"compose() takes balancers such as mtl.pcgrad(num_tasks), not {balancer!r}.")
        if balancer.needs and balancers[1:]:
            raise ValueError(f"compose(): one of the balancers needs a {balancer.needs}; it works alone.")
    first, *rest = balancers
    if not rest:
        return first
    return _after(first, compose(*rest))


def _after(first: Balancer, second: Balancer) -> Balancer:
    if first.num_tasks != second.num_tasks:
        raise ValueError(f"compose(): balancers of {first.num_tasks} and of {second.num_tasks} tasks.")
    if first.weigh is None:
        raise ValueError(
            "compose(): only the last balancer may see the whole Jacobian; one before it gives no weights."
        )
    order = ("losses", "gramian", "jacobian")
    sees: Sees = first.sees if order.index(first.sees) > order.index(second.sees) else second.sees

    def init(params: Any) -> BalanceState:
        states = (cast(BalanceState, first.init(params)), cast(BalanceState, second.init(params)))
        if any(map(_is_key, jax.tree.leaves(states[0]))):
            states = (states[0], jax.tree.map(lambda leaf: own_stream(leaf, _STREAM), states[1]))
        return BalanceState(states, states[1].weights, states[1].present, states[0].solved & states[1].solved)

    return Balancer(
        init,
        num_tasks=first.num_tasks,
        sees=sees,
        weigh=None if sees == "jacobian" else _weigh_by(first.weigh, cast(Weigh, second.weigh)),
        direct=_direct_by(first.weigh, second) if sees == "jacobian" else None,
        measures=tuple(m for m in first.measures if m in second.measures),
        samples=second.samples,
        needs_positive_losses=first.needs_positive_losses or second.needs_positive_losses,
    )


def _weigh_by(first: Weigh, second: Weigh) -> Weigh:
    """The weights of one, times those of another of the losses and gradients so weighted."""

    def weigh(
        state: BalanceState,
        *,
        losses: jax.Array | None = None,
        gramian: Gramian | None = None,
        present: jax.Array | None = None,
    ) -> tuple[Weights, BalanceState]:
        one, before = first(state.rule[0], losses=losses, gramian=gramian, present=present)
        two, after = second(
            state.rule[1],
            losses=_times(one.shared, losses),
            gramian=_weighted(gramian, one.shared),
            present=before.present,
        )
        weights = Weights(one.shared * two.shared, one.private * two.private)
        solved = before.solved & after.solved
        return weights, BalanceState((before, after), weights.shared.astype(jnp.float32), after.present, solved)

    return weigh


def _direct_by(first: Weigh, second: Balancer) -> Direct:
    """The direction that a balancer without weights makes of gradients weighted by another."""

    def direct(
        jacobian, state, params, *, losses=None, present=None, owners=None, samples=(), axis_name=None, features=False
    ):
        seen = gramian(jacobian, params, second.num_tasks, axis_name)
        one, before = first(state.rule[0], losses=losses, gramian=seen, present=present)
        direction, after = second.direct(
            _scaled(jacobian, params, one, owners),
            state.rule[1],
            params,
            losses=_times(one.shared, losses),
            present=before.present,
            owners=owners,
            samples=tuple(_scaled(sample, params, one, owners) for sample in samples),
            axis_name=axis_name,
            features=features,
        )
        weights = one.shared.astype(jnp.float32) * after.weights
        return direction, BalanceState((before, after), weights, after.present, before.solved & after.solved)

    return direct


_STREAM = zlib.crc32(b"compose")


def own_stream(leaf: jax.Array, number: int) -> jax.Array:
    """Another key for each key of a state, so that no two balancers of one seed draw the same numbers; 0 leaves it."""
    return jax.random.fold_in(leaf, number) if number and _is_key(leaf) else leaf


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _times(weights: jax.Array, losses: jax.Array | None) -> jax.Array | None:
    return None if losses is None else jnp.where(weights == 0, 0.0, weights * losses)


def _weighted(seen: Gramian | None, weights: jax.Array) -> Gramian | None:
    if seen is None:
        return None
    signs = jnp.sign(weights)
    scaled = jnp.where(weights == 0, 0.0, jnp.abs(weights) * seen.norms)
    return Gramian(scaled, jnp.where(signs[:, None] * signs == 0, 0.0, signs[:, None] * signs * seen.cosines))


def _scaled(jacobian: object, params: object, weights: Weights, owners: object) -> object:
    """The Jacobian with its rows, and the private leaves whose owners are known, times the weights."""
    rows = shared_rows(jacobian, params, len(weights.shared))

    def scaled(row: jax.Array) -> jax.Array:
        w = weights.shared.reshape(-1, *[1] * (row.ndim - 1))
        return jnp.where(w == 0, 0.0, w * row).astype(row.dtype)

    leaves = zip(jax.tree.leaves(jacobian), rows, strict=True)
    weighted = jax.tree.structure(params).unflatten([leaf if row is None else scaled(row) for leaf, row in leaves])
    return weighted if owners is None else scale_private(weighted, params, owners, weights.private)
