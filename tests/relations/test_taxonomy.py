"""Taxonomies: the golden optima, every set of sources on small instances, laws, mistakes."""

import itertools

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.relations import taxonomy
from tests.relations import golden

TAXONOMIES = [
    "all targets, first order",
    "all targets, second order",
    "four targets without labels",
    "priced sources, weighted targets",
    "1k images, fourth order, four targets",
]


@pytest.mark.parametrize("name", TAXONOMIES)
def test_golden_taxonomies(shared, name):
    numbers = golden.read(shared, "taskonomy.json")
    given = numbers["taxonomies"][name]
    published = numbers["affinities"]["1k" if name.startswith("1k") else "all"]
    sources = {*given["costs"], *given["not_sources"]}
    affinities = golden.transfers(published, given["targets"], given["order"], sources)
    for optimum in given["optima"]:
        found = taxonomy(
            affinities,
            optimum["budget"],
            costs=given["costs"],
            importance=given["importance"],
            unlabelled=given["not_sources"],
        )
        np.testing.assert_allclose(found.worth, optimum["objective"], rtol=1e-9)
        assert [source for source in found.sources if source != "random"] == optimum["sources"]
        assert found.cost == sum(given["costs"][source] for source in found.sources) <= optimum["budget"]
        assert set(found.transfers) == set(given["targets"])
        for target, named in found.transfers.items():
            others = [n for n in affinities[target] if _needed(n, target) == tuple(optimum["transfers"][target])]
            best = max(affinities[target][named] for named in others)
            np.testing.assert_allclose(affinities[target][named], best, rtol=1e-9)
            assert set(_needed(named, target)) <= set(found.sources)


def _needed(named, target):
    return tuple(target if source == "self" else source for source in named)


def made(seed, targets=4):
    """Random affinities of first and second order between some tasks."""
    random, tasks = np.random.default_rng(seed), [f"t{i}" for i in range(targets)]
    rows = {}
    for target in tasks:
        pairs = [pair for pair in itertools.combinations(tasks, 2) if random.random() < 0.5]
        named = [("self",), ("random",), *((source,) for source in tasks), *pairs]
        rows[target] = dict(zip(named, random.dirichlet(np.ones(len(named))), strict=True))
    return rows, {task: random.uniform(0.5, 2) for task in tasks}, {task: random.uniform(0, 3) for task in tasks}


@pytest.mark.parametrize("seed", range(6))
def test_no_set_of_sources_is_better(seed):
    affinities, costs, importance = made(seed)
    budget = 0.8 + 0.5 * seed
    best = 0.0
    for size in range(len(costs) + 1):
        for sources in itertools.combinations(costs, size):
            if sum(costs[source] for source in sources) <= budget:
                have = {*sources, "random"}
                best = max(
                    best,
                    sum(
                        importance[target] * max(p for named, p in row.items() if set(_needed(named, target)) <= have)
                        for target, row in affinities.items()
                    ),
                )
    np.testing.assert_allclose(taxonomy(affinities, budget, costs=costs, importance=importance).worth, best, rtol=1e-9)


def test_more_budget_or_one_more_transfer_never_worsens():
    for seed in range(4):
        affinities, costs, importance = made(seed)
        worths = [taxonomy(affinities, b, costs=costs, importance=importance).worth for b in (0, 0.7, 1.5, 3, 9)]
        assert worths == sorted(worths)
        richer = {target: {**row, ("t0", "t1", "t2"): 0.3} for target, row in affinities.items()}
        assert taxonomy(richer, 3, costs=costs, importance=importance).worth >= worths[3] - 1e-12


def test_permuted_tasks_have_permuted_taxonomies():
    affinities, costs, importance = made(3)
    new = {"t0": "z", "t1": "m", "t2": "a", "t3": "q"}

    def renamed(names):
        return tuple(new.get(name, name) for name in names)

    other = {new[t]: {renamed(named): p for named, p in affinities[t].items()} for t in reversed(affinities)}
    one = taxonomy(affinities, 2, costs=costs, importance=importance)
    two = taxonomy(
        other,
        2,
        costs={new[task]: cost for task, cost in costs.items()},
        importance={new[task]: weight for task, weight in importance.items()},
    )
    assert set(two.sources) == set(renamed(one.sources))
    assert {t: set(s) for t, s in two.transfers.items()} == {new[t]: set(renamed(s)) for t, s in one.transfers.items()}


def test_of_what_is_as_good_the_least_cost_then_the_fewest_then_the_first():
    same = {"t": {("a",): 0.5, ("b",): 0.5, ("c",): 0.5, ("b", "c"): 0.5}}
    assert taxonomy(same, 5, costs={"a": 2.0}).transfers == {"t": ("b",)}
    assert taxonomy(same, 5, costs={"a": 0.0, "b": 0.0, "c": 0.0}).sources == ("a",)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"budget": 0.3}, "the budget 0.3 is below the cheapest taxonomy, which costs 1 "),
        ({"budget": -1}, "the budget is -1; expected 0 or more"),
        ({"budget": np.nan}, "the budget is nan; expected a finite number"),
        ({"costs": {"aa": 1.0}}, "unknown source with a cost 'aa'; did you mean 'a'"),
        ({"costs": {"a": -1.0}}, "a cost of 'a' is -1; expected 0 or more"),
        ({"importance": {"c": 1.0}}, "unknown target with an importance 'c'"),
        ({"importance": {"t": -2.0}}, "an importance of 't' is -2; expected 0 or more"),
        ({"unlabelled": ["d"]}, "unknown task without labels 'd'"),
        ({"unlabelled": ["a", "b"]}, "there is no transfer to 't' from tasks with labels"),
        ({"affinities": {"t": {("a", "b"): np.nan}}}, r"affinity of a \+ b to 't' is nan"),
        ({"affinities": {"t": {"a": 0.5}}}, "a transfer to 't' is named 'a'; expected a tuple"),
        ({"affinities": {}}, "there are no affinities"),
    ],
)
def test_mistakes_are_told(given, told):
    given = {"affinities": {"t": {("a",): 0.5, ("b",): 0.4}}, "budget": 1} | given
    with pytest.raises(UserError, match=told):
        taxonomy(**given)
