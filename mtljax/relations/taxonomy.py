"""Which tasks to learn in full, and from which of them to transfer to each target (Taskonomy, section 3.4)."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.relations import checks
from mtljax.relations.program import Program, cheapest, solve

SELF, RANDOM = "self", "random"  # a target's own full network; an encoder that nobody trained

Sources = tuple[str, ...]
Affinities = Mapping[str, Mapping[Sources, float]]  # target -> the sources of a transfer -> affinity


@dataclasses.dataclass(frozen=True)
class Taxonomy:
    """What to learn in full, and what to transfer.

    Attributes:
        sources: the tasks whose networks are used, in the order of the alphabet, `random` too.
        transfers: target -> the sources of the one transfer into it, as they were named.
        worth: sum over targets of importance times affinity.
        cost: of the sources in all.
    """

    sources: Sources
    transfers: Mapping[str, Sources]
    worth: float
    cost: float


def taxonomy(
    affinities: Affinities,
    budget: float,
    *,
    costs: Mapping[str, float] | None = None,
    importance: Mapping[str, float] | None = None,
    unlabelled: Collection[str] = (),
) -> Taxonomy:
    """Chooses sources and one transfer into each target: the most affinity that a budget buys, exactly.

    Of what is as good, it is the least cost, then the fewest sources, then the first of the alphabet.

    Args:
        affinities: target -> (source, ...) -> affinity, as `ahp` gives them for each target. The source `self` is the
            target's own full network, so that its source is the target; `random` an encoder that was not trained.
        budget: the most that all sources may cost.
        costs: of sources; 1 for one that is not named, 0 for `random`.
        importance: of targets; 1 for one that is not named.
        unlabelled: tasks without labels, which cannot be sources.

    Raises:
        UserError: for a name that is not there, an affinity that is not finite, a cost or importance below 0, or a
            budget below that of the cheapest taxonomy.

    Example:
        >>> affinities = {
        ...     "depth": {("self",): 0.5, ("normals",): 0.3, ("edges",): 0.1, ("edges", "normals"): 0.4},
        ...     "normals": {("self",): 0.6, ("edges",): 0.2},
        ... }
        >>> chosen = taxonomy(affinities, budget=1)
        >>> chosen.sources, chosen.transfers, round(chosen.worth, 6)
        (('normals',), {'depth': ('normals',), 'normals': ('self',)}, 0.9)
    """
    budget = checks.amount("the budget", budget)
    links = _links(affinities, unlabelled)
    sources = sorted({source for _, target, named in links for source in _needed(named, target)})
    known = {source for target, row in affinities.items() for named in row for source in _needed(named, target)}
    importance = checks.amounts("an importance", "target", importance, affinities)
    price = {source: 0.0 if source == RANDOM else 1.0 for source in sources}
    price |= checks.amounts("a cost", "source", costs, known | set(affinities))
    targets = list(affinities)
    program = Program(
        worth=np.array([importance.get(target, 1.0) * worth for worth, target, _ in links]),
        target=np.array([targets.index(target) for _, target, _ in links]),
        needs=np.array(
            [
                (i, sources.index(source))
                for i, (_, target, named) in enumerate(links)
                for source in _needed(named, target)
            ]
        ),
        costs=np.array([price[source] for source in sources]),
        budget=budget,
    )
    chosen = solve(program)
    if chosen is None:
        cover = cheapest(program)
        raise UserError(
            f"the budget {budget:g} is below the cheapest taxonomy, which costs {program.costs[cover].sum():g} "
            f"({', '.join(np.array(sources)[cover])})."
        )
    used = program.links(chosen)
    return Taxonomy(
        sources=tuple(source for source, taken in zip(sources, chosen, strict=True) if taken),
        transfers={target: links[link][2] for target, link in zip(targets, used, strict=True)},
        worth=float(program.worth[used].sum()),
        cost=float(program.costs[chosen].sum()),
    )


def _needed(named: Sources, target: str) -> Sources:
    return tuple(target if source == SELF else source for source in named)


def _links(affinities: Affinities, unlabelled: Collection[str]) -> list[tuple[float, str, Sources]]:
    """Affinity, target and named sources of each transfer that can be had: of each target the simplest first.

    Raises:
        UserError: where there is no target, no transfer into one, or an affinity that is not finite.
    """
    if not affinities:
        raise UserError("there are no affinities; expected a target or more.")
    tasks = set(affinities) | {source for row in affinities.values() for named in row for source in named}
    for task in unlabelled:
        if task not in tasks:
            raise unknown("task without labels", task, tasks - {SELF, RANDOM})
    links = []
    for target, row in affinities.items():
        for named, worth in row.items():
            if not isinstance(named, tuple) or not named:
                raise UserError(f"a transfer to {target!r} is named {named!r}; expected a tuple of its sources.")
            checks.finite(f"affinity of {' + '.join(map(str, named))} to {target!r}", worth)
        can = [named for named in row if not set(_needed(named, target)) & set(unlabelled)]
        if not can:
            raise UserError(f"there is no transfer to {target!r} from tasks with labels.")
        links += [(row[named], target, named) for named in sorted(can, key=lambda named: (len(named), named))]
    return links
