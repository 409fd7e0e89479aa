"""Consistency energy, the weights and the choice of losses: golden numbers, properties, mistakes."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.relations import active_paths, consistency_coefficients, consistency_energy, energy_agreement, roc_auc
from tests.relations import golden


@pytest.fixture
def given(shared):
    return golden.read(shared, "small.json")["consistency"]


def test_golden_energies(given):
    numbers = given["energy"]
    training = np.array(numbers["train"])
    np.testing.assert_allclose(training.mean(1), numbers["mean"], atol=1e-10)
    np.testing.assert_allclose(training.std(1), numbers["std"], atol=1e-10)
    inside, outside = (consistency_energy(numbers[which], training) for which in ("in", "out"))
    np.testing.assert_allclose(inside, numbers["energy_in"], atol=1e-10)
    np.testing.assert_allclose(outside, numbers["energy_out"], atol=1e-10)
    agreement = energy_agreement(inside, numbers["error_in"])
    np.testing.assert_allclose(agreement.pearson, numbers["pearson_with_error"], rtol=1e-10)
    np.testing.assert_allclose(agreement.spearman, numbers["spearman_with_error"], rtol=1e-10)
    np.testing.assert_allclose(roc_auc(outside, inside), numbers["auc_out_of_domain"], rtol=1e-12)


def test_golden_coefficients(given):
    numbers = given["coefficients"]
    found = consistency_coefficients(numbers["mean_absolute_gradients"], numbers["names"].index("direct"))
    np.testing.assert_allclose(found, numbers["coefficients"], atol=1e-11)
    np.testing.assert_allclose(found @ np.array(numbers["losses"]), numbers["total_loss"], rtol=1e-12)


def test_the_direct_loss_may_stand_anywhere(given):
    gradients = np.array(given["coefficients"]["mean_absolute_gradients"])
    moved = consistency_coefficients(np.roll(gradients, 2), direct=2)
    np.testing.assert_allclose(np.roll(moved, -2), given["coefficients"]["coefficients"], atol=1e-11)


def test_the_golden_choice_of_paths(given):
    numbers = given["choice"]
    found = active_paths(numbers["perceptual"], numbers["direct"], numbers["k"])
    np.testing.assert_allclose(found.shares, numbers["win_rates"], atol=1e-11)
    assert found.chosen == tuple(numbers["chosen"])
    assert len(active_paths(numbers["perceptual"], numbers["direct"], 9).chosen) == 4  # That of share 1 never.


def test_training_images_have_energies_of_mean_zero_whatever_the_units():
    training = np.random.default_rng(0).gamma(2, size=(3, 50))
    energy = consistency_energy(training, training)
    np.testing.assert_allclose(energy.mean(), 0, atol=1e-12)
    units = np.array([[1000.0], [0.1], [1.0]])
    np.testing.assert_allclose(consistency_energy(units * training, units * training), energy)


def test_the_area_under_the_curve_counts_pairs():
    random = np.random.default_rng(1)
    shifted, unshifted = random.integers(0, 5, 13), random.integers(0, 4, 17)
    pairs = np.mean((shifted[:, None] > unshifted) + 0.5 * (shifted[:, None] == unshifted))
    np.testing.assert_allclose(roc_auc(shifted, unshifted), pairs)
    np.testing.assert_allclose(roc_auc(unshifted, shifted), 1 - pairs)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: consistency_energy([[1.0, np.nan]], [[1.0, 2.0]]), "the distance of path 0 for image 1 is nan"),
        (lambda: consistency_energy([[1.0]], [[1.0, 2.0], [1.0, 3.0]]), "distances of 1 paths, and in training of 2"),
        (
            lambda: consistency_energy([[1.0]], [[0.1, 0.1, 0.1]]),
            "the distance of path 0 is 0.1 on all training images",
        ),
        (lambda: consistency_coefficients([1.0]), "there are 1 losses"),
        (lambda: consistency_coefficients([1.0, 2.0], direct=2), "the direct one at place 2"),
        (lambda: consistency_coefficients([0.0, 0.0]), "expected 0 or more, and not all 0"),
        (lambda: active_paths([[1.0, 2.0]], [[1.0]], 1), r"shape \(1, 2\), direct ones \(1, 1\)"),
        (lambda: active_paths([[1.0]], [[1.0]], 0), "of which 0 are to be chosen"),
        (lambda: energy_agreement([1.0, 1.0], [1.0, 2.0]), "all 2 numbers of the first are the same"),
        (lambda: roc_auc([1.0], []), "energies of unshifted images has shape"),
    ],
)
def test_mistakes_are_told(made, told):
    with pytest.raises(UserError, match=told):
        made()
