"""Tournaments and AHP: golden numbers, the eigenvector of consistent comparisons, mistakes."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.relations import ahp, distance_shown, gain, quality, tournament
from tests.relations import golden


@pytest.fixture
def made(shared):
    return golden.read(shared, "taskonomy.json")["from_losses"]


def test_wins_and_affinities_of_golden_losses(made):
    wins = tournament(made["losses"])
    np.testing.assert_allclose(wins, made["wins"], rtol=1e-12)
    np.testing.assert_allclose(wins / wins.T, made["ratio"], rtol=1e-12)
    found = ahp(wins)
    np.testing.assert_allclose(found.weights, made["affinity"], rtol=1e-9)
    np.testing.assert_allclose(found.eigenvalue, made["eigenvalue"], rtol=1e-12)
    np.testing.assert_allclose(distance_shown(found.weights), made["distance_shown"], rtol=1e-8)
    assert np.argmax(ahp(wins.T).weights) != np.argmax(found.weights)


def test_gain_and_quality_of_golden_losses(made):
    np.testing.assert_allclose(gain(made["losses"], made["gain"]["losses_from_scratch"]), made["gain"]["gain"])
    own = made["quality"]["losses_of_task_network"]
    np.testing.assert_allclose(quality(made["losses"], own), made["quality"]["quality"])


@pytest.mark.parametrize("name", ["all", "1k"])
def test_published_affinities_are_the_answer_to_consistent_comparisons_of_them(shared, name):
    """A made matrix of wins that agrees with published affinities gives them back."""
    by_target = {}
    for transfer, affinity in golden.read(shared, "taskonomy.json")["affinities"][name].items():
        by_target.setdefault(transfer.rpartition("__")[2], []).append(affinity)
    for affinities in by_target.values():
        weights = np.array(affinities)
        np.testing.assert_allclose(weights.sum(), 1, atol=1e-6)
    weights = np.array(sorted(by_target["reshade"])[-12:])
    np.testing.assert_allclose(ahp(weights[:, None] / (weights[:, None] + weights)).weights, weights / weights.sum())


def test_consistent_comparisons_give_their_weights_exactly():
    for seed in range(20):
        weights = np.random.default_rng(seed).dirichlet(np.full(seed + 2, 0.5)) + 1e-6
        wins = weights[:, None] / (weights[:, None] + weights)
        found = ahp(wins)
        np.testing.assert_allclose(found.weights, weights / weights.sum(), rtol=1e-8)
        np.testing.assert_allclose(found.eigenvalue, len(weights), rtol=1e-8)


def test_permuted_transfers_have_permuted_affinities():
    random = np.random.default_rng(0)
    losses, order = random.gamma(2, size=(6, 80)), random.permutation(6)
    np.testing.assert_allclose(ahp(tournament(losses[order])).weights, ahp(tournament(losses)).weights[order])


def test_a_scale_of_each_image_changes_nothing_and_ties_are_halves():
    random = np.random.default_rng(1)
    losses = random.gamma(2, size=(4, 50))
    np.testing.assert_array_equal(tournament(losses), tournament(losses * random.gamma(2, size=50)))
    np.testing.assert_array_equal(tournament(np.ones((3, 5))), np.full((3, 3), 0.5))
    np.testing.assert_array_equal(gain(np.ones((3, 5)), np.ones(5)), np.full(3, 0.5))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: tournament([[1.0, np.nan]]), "the loss of transfer 0 for image 1 is nan"),
        (lambda: tournament([1.0, 2.0]), r"the loss has shape \(2,\); expected \(transfers, images\)"),
        (lambda: tournament(np.ones((2, 0))), "one or more of each"),
        (lambda: tournament([["a"]]), "the loss is no array of numbers"),
        (lambda: gain([[1.0, 2.0]], [1.0]), r"the loss to beat has shape \(1,\); expected \(2,\)"),
        (lambda: gain([[1.0, 2.0]], [1.0, np.inf]), "the loss to beat has inf at place 1"),
        (lambda: ahp([[0.5, 0.7]]), r"shape \(1, 2\); expected a square matrix"),
        (lambda: ahp([[1.0, 2.0], [0.5, 1.0]]), "transfer 0 wins 1 against 0, which wins 1; expected shares"),
        (lambda: ahp([[0.5, 1.0], [0.0, 0.5]]), "transfer 1 wins 0 against 0"),
    ],
)
def test_mistakes_are_told(made, told):
    with pytest.raises(UserError, match=told):
        made()
