"""A balancer for each group of parameters: each sees the gradients of its own group alone."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp

from mtljax.balance.balancer import Balancer, BalanceState
from mtljax.balance.compose import own_stream
from mtljax.balance.gramian import shared_rows
from mtljax.balance.linearized.owners import names_of, pattern_matches

Groups = Sequence[tuple[str, Balancer]] | Mapping[str, Balancer]


def per_group(groups: Groups) -> Balancer:
    """Balances each group of parameters, a layer or a module say, by a balancer of its own.

    A parameter belongs to the first pattern that matches its path, such as `encoder/conv1/kernel`: a regular expression
    for whole paths, or the path of what it stands in. Parameters of one task are scaled where their group's balancer is
    a loss weighting; those that no pattern matches keep their gradient. In one's own loop,
    `optax.partition({"early": optax.chain(mtl.pcgrad(3), adam), ...}, labels)` does the same.

    Args:
        groups: pairs (pattern, balancer) in the order in which they are tried; or a dict.

    Returns:
        An optax `Aggregator` that sees the whole Jacobian. In its state, `rule` holds the state of each group's
        balancer, and `weights` their mean.

    Raises:
        ValueError: for no groups, a malformed pattern, different numbers of tasks, or of samples; in `init`, for a
            pattern that is left no parameter; in `update`, where tasks share a parameter that no pattern matches.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = {"early": jnp.zeros(2), "late": jnp.zeros(2)}
        >>> balancer = mtl.per_group([("early", mtl.pcgrad(2)), (".*", mtl.equal(2))])
        >>> jacobian = {name: jnp.array([[1.0, 0.0], [-1.0, 1.0]]) for name in params}
        >>> direction, _ = balancer.update(jacobian, balancer.init(params), params, losses=jnp.ones(2))
        >>> [[round(float(x), 3) for x in direction[name]] for name in ("early", "late")]
        [[0.5, 1.5], [0.0, 1.0]]
    """
    pairs = _checked(groups)
    patterns, balancers = [pattern for pattern, _ in pairs], [balancer for _, balancer in pairs]

    def init(params: Any) -> BalanceState:
        places, leaves = places_of(patterns, params), jax.tree.leaves(params)
        states = [cast(BalanceState, b.init([leaves[j] for j in at])) for b, at in zip(balancers, places, strict=True)]
        return _together([jax.tree.map(lambda x, i=i: own_stream(x, i), state) for i, state in enumerate(states)])

    def direct(
        jacobian: Any, state: BalanceState, params: Any, *, owners: Any = None, samples: Any = (), **known: Any
    ) -> tuple[Any, BalanceState]:
        structure, places = jax.tree.structure(params), places_of(patterns, params)
        rows = shared_rows(jacobian, params, balancers[0].num_tasks)
        check_covered(places, [row is not None for row in rows], params)
        trees = [structure.flatten_up_to(tree) for tree in (jacobian, params)]
        own = None if owners is None else structure.flatten_up_to(owners)
        parts = [structure.flatten_up_to(sample) for sample in samples]
        direction, states = list(trees[0]), []
        for balancer, at, before in zip(balancers, places, state.rule, strict=True):
            rows, leaves = ([tree[i] for i in at] for tree in trees)
            beside = {} if own is None else {"owners": [own[i] for i in at]}
            if balancer.samples > 1:
                beside["samples"] = [[part[i] for i in at] for part in parts]
            found, after = balancer.direct(rows, before, leaves, **beside, **known)
            states.append(after)
            for i, leaf in zip(at, found, strict=True):
                direction[i] = leaf
        return structure.unflatten(direction), _together(states)

    return Balancer(
        init,
        num_tasks=balancers[0].num_tasks,
        sees="jacobian",
        direct=direct,
        measures=("shared",),
        samples=max(balancer.samples for balancer in balancers),
        needs_positive_losses=any(balancer.needs_positive_losses for balancer in balancers),
        groups=tuple(patterns),
    )


def places_of(patterns: Sequence[str], params: Any) -> list[list[int]]:
    """For each pattern, the indices of the leaves of `params` that it is the first to match.

    Raises:
        ValueError: for a pattern that is left none.
    """
    names = names_of(params)
    first = [next((p for p in patterns if pattern_matches(p, name)), None) for name in names]
    for pattern in patterns:
        if pattern not in first:
            taken = [name for name in names if pattern_matches(pattern, name)]
            if taken:
                raise ValueError(f"group {pattern!r}: patterns before it match all that it does, {taken[0]!r} first.")
            near = difflib.get_close_matches(pattern, [*names, *(n.split("/")[0] for n in names)], n=1, cutoff=0.0)
            raise ValueError(f"group {pattern!r} matches no parameter; did you mean {near[0]!r}?")
    return [[i for i, found in enumerate(first) if found == pattern] for pattern in patterns]


def check_covered(places: Sequence[Sequence[int]], shared: Sequence[bool], params: Any) -> None:
    """Raises `ValueError` for parameters that tasks share and that are in no group.

    Args:
        places: for each group, indices of the leaves of `params`.
        shared: for each leaf, whether tasks share it.
        params: the parameters, or their shapes.
    """
    inside = {i for at in places for i in at}
    rest = [name for i, name in enumerate(names_of(params)) if shared[i] and i not in inside]
    if rest:
        raise ValueError(
            f"no group matches {len(rest)} of the parameters that tasks share: {', '.join(rest)}. Expected all of them "
            "to be in one: ('.*', equal()) at the end takes the rest."
        )


def _checked(groups: Groups) -> list[tuple[str, Balancer]]:
    pairs: list[Any] = list(groups.items()) if isinstance(groups, Mapping) else [tuple(pair) for pair in groups]
    if not pairs:
        raise ValueError("per_group() needs at least one group.")
    for pair in pairs:
        if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], Balancer):
            raise ValueError(f"per_group() takes pairs such as ('encoder/.*', mtl.pcgrad(num_tasks)), not {pair!r}.")
        if pair[1].needs:
            raise ValueError(f"per_group(): the balancer of {pair[0]!r} needs a {pair[1].needs}; it works alone.")
        try:
            re.compile(pair[0])
        except re.error as error:
            raise ValueError(f"per_group(): pattern {pair[0]!r} is no regular expression: {error}.") from None
    names = [pattern for pattern, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"per_group(): pattern {name!r} is there twice.")
    for what in ("num_tasks", "samples"):
        numbers = sorted({getattr(b, what) for _, b in pairs if what == "num_tasks" or b.samples > 1})
        if len(numbers) > 1:
            raise ValueError(f"per_group(): balancers whose {what} are {' and '.join(map(str, numbers))}.")
    return pairs


def _together(states: Sequence[BalanceState]) -> BalanceState:
    """The state of all groups."""
    weights = jnp.mean(jnp.stack([state.weights for state in states]), axis=0)
    present = jnp.all(jnp.stack([state.present for state in states]), axis=0)
    solved = jnp.all(jnp.stack([jnp.asarray(state.solved) for state in states]))
    return BalanceState(tuple(states), weights, present, solved)
