"""Groups from affinities: the golden optima the right way round, every choice on small instances, laws, mistakes."""

import itertools

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.relations import Network, choose_networks, group, group_scores, higher_order
from tests.relations import golden


@pytest.mark.parametrize("name", ["taskonomy/tag", "taskonomy/cosine", "celeba/tag", "celeba/cosine"])
def test_golden_groups(shared, name):
    given = golden.read(shared, "tag.json")["tables"][name]
    affinity = np.transpose(given["affinity"])  # The file's is [target][source].
    for optimum in given["optima"]:
        found = group(affinity, given["tasks"], optimum["splits"])
        np.testing.assert_allclose(found.score, optimum["objective"], rtol=1e-12)
        assert {frozenset(g) for g in found.groups} == {frozenset(g) for g in optimum["groups"]}
        assert len(found.groups) == len(optimum["groups"]) <= optimum["splits"]
        for task, members in found.serves.items():
            np.testing.assert_allclose(found.scores[task], group_scores(affinity, given["tasks"], members)[task])
    for example in given["example_scores"]:
        scores = group_scores(affinity, given["tasks"], example["group"])
        np.testing.assert_allclose([scores[t] for t in example["scores"]], list(example["scores"].values()), rtol=1e-12)


def test_the_matrix_the_wrong_way_round_gives_another_score(shared):
    given = golden.read(shared, "tag.json")["tables"]["taskonomy/tag"]
    wrong = group(given["affinity"], given["tasks"], given["wrong_way_round"]["splits"])
    np.testing.assert_allclose(wrong.score, given["wrong_way_round"]["objective"], rtol=1e-12)
    assert round(group(np.transpose(given["affinity"]), given["tasks"], 3).score, 5) == 0.34867
    assert round(wrong.score, 5) == 0.38388


@pytest.mark.parametrize("name", ["taskonomy/pairs", "celeba/pairs"])
def test_golden_groups_by_losses_of_pairs(shared, name):
    """A loss, which is the lower the better, of a with b is b's effect on a: [companion][task] after a transposition."""
    given = golden.read(shared, "tag.json")["tables"][name]
    for optimum in given["optima"]:
        found = group(-np.transpose(given["with"]), given["tasks"], optimum["splits"])
        np.testing.assert_allclose(-found.score, optimum["objective"], rtol=1e-12)
        assert {frozenset(g) for g in found.groups} == {frozenset(g) for g in optimum["groups"]}


def test_groups_of_losses_are_networks_of_higher_order():
    """Groups by losses of pairs are what `choose_networks` makes of the same pairs, with a budget of so many networks."""
    random, tasks = np.random.default_rng(4), [f"t{i}" for i in range(5)]
    losses = random.uniform(0.5, 1, (5, 5))  # [companion][task]
    pairs = [Network({tasks[i]: losses[j, i], tasks[j]: losses[i, j]}) for i, j in itertools.combinations(range(5), 2)]
    for most in (1, 2, 3):
        grouped, chosen = group(-losses, tasks, most), choose_networks(higher_order(pairs), most)
        assert {frozenset(g) for g in grouped.groups} == {one.tasks for one in chosen.networks}
        np.testing.assert_allclose(-grouped.score * 5, chosen.loss)


def test_no_choice_of_groups_is_better():
    random, tasks = np.random.default_rng(0), ["a", "b", "c", "d"]
    sets = [c for size in (2, 3, 4) for c in itertools.combinations(tasks, size)]
    for _ in range(4):
        affinity = random.normal(size=(4, 4))
        scores = [group_scores(affinity, tasks, members) for members in sets]
        for most in (1, 2, 3):
            best = max(
                np.mean([max(score.get(task, -np.inf) for score in chosen) for task in tasks])
                for chosen in itertools.combinations_with_replacement(scores, most)
            )
            np.testing.assert_allclose(group(affinity, tasks, most).score, best)


def test_more_groups_never_worsen_and_permuted_tasks_have_permuted_groups():
    random, tasks = np.random.default_rng(1), [f"t{i}" for i in range(6)]
    affinity, order = random.normal(size=(6, 6)), random.permutation(6)
    found = [group(affinity, tasks, most) for most in (1, 2, 3, 6)]
    assert [one.score for one in found] == sorted(one.score for one in found)
    other = group(affinity[np.ix_(order, order)], [tasks[i] for i in order], 3)
    assert {frozenset(g) for g in other.groups} == {frozenset(g) for g in found[2].groups}
    assert other.scores == pytest.approx(found[2].scores)


def test_a_diagonal_is_not_looked_at():
    affinity = np.random.default_rng(2).normal(size=(4, 4))
    blank = affinity + np.diag([np.nan] * 4)
    assert group(affinity, ["a", "b", "c", "d"], 2) == group(blank, ["a", "b", "c", "d"], 2)


@pytest.mark.parametrize(
    ("affinity", "tasks", "most", "told"),
    [
        ([[0, np.nan], [1, 0]], ["depth", "edges"], 1, "affinity of 'depth' to 'edges' is nan"),
        ([[0, 1], [None, 0]], ["depth", "edges"], 1, "affinity of 'edges' to 'depth' is nan"),
        ([[0, 1, 2], [1, 0, 2]], ["a", "b"], 1, r"affinity has shape \(2, 3\); expected a square matrix"),
        (np.zeros((3, 3)), ["a", "b"], 1, "affinity has 3 rows, but 2 tasks are named: a, b"),
        (np.zeros((1, 1)), ["a"], 1, "one task, 'a', has no other"),
        (np.zeros((2, 2)), "ab", 1, "expected the names of two or more tasks, not the text 'ab'"),
        (np.zeros((2, 2)), ["a", "a"], 1, "the task 'a' stands twice"),
        (np.zeros((2, 2)), ["a", 1], 1, "a task is named by text; 1 is none"),
        (np.zeros((2, 2)), ["a", "b"], 0, "there may be 0 groups; expected a whole number, 1 or more"),
        (np.zeros((2, 2)), ["a", "b"], 1.5, "there may be 1.5 groups"),
        (np.zeros((17, 17)), [f"t{i}" for i in range(17)], 2, "17 tasks have 131,071 sets; expected 16 tasks or fewer"),
    ],
)
def test_mistakes_are_told(affinity, tasks, most, told):
    with pytest.raises(UserError, match=told):
        group(affinity, tasks, most)


def test_a_member_that_is_no_task_is_told():
    with pytest.raises(UserError, match="unknown task 'c'"):
        group_scores(np.zeros((2, 2)), ["a", "b"], ["a", "c"])
