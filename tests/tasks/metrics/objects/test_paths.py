"""Paths: golden figures, ties, steps that are not known, what is no number."""

import numpy as np
import pytest

from mtljax.tasks.metrics.objects.paths import path_errors, path_figures
from tests.tasks import golden


@pytest.fixture(scope="module")
def given(shared):
    given = golden.read(shared, "trajectory_modes.json")
    arrays = [np.array(given[name]) for name in ("predicted", "logits", "truth", "valid")]
    return arrays, given["expected"]


@pytest.mark.parametrize("best", [1, 2, 4])
def test_golden_figures(given, best):
    arrays, expected = given
    errors = path_errors(*arrays, best=best)
    wanted = dict(expected[f"K={best}"])
    assert len(errors["minADE"]) == wanted.pop("counted")
    for metres in (1.0, 2.0):
        golden.equal(
            {f"miss_{metres}": path_figures(errors, metres)["miss"]}, {f"miss_{metres}": wanted.pop(f"miss_{metres}")}
        )
    golden.equal(path_figures(errors), wanted)


def test_steps_that_are_not_known_are_nothing(given):
    (paths, logits, truth, valid), _ = given
    errors = path_errors(paths, logits, truth, valid, best=4)
    spoiled = path_errors(paths, logits, np.where(valid[..., None], truth, np.nan), valid, best=4)
    for name, values in errors.items():
        np.testing.assert_array_equal(spoiled[name], values)


def test_more_modes_are_no_worse_and_their_order_is_nothing(given):
    (paths, logits, truth, valid), _ = given
    errors = [path_errors(paths, logits, truth, valid, best=k) for k in (1, 2, 3, 4)]
    for name in ("minADE", "minFDE"):
        assert (np.diff([one[name] for one in errors], axis=0) <= 0).all()
    order = np.random.default_rng(0).permutation(4)
    other = path_errors(paths[:, order], logits[:, order], truth, valid, best=2)
    np.testing.assert_array_equal(other["minFDE"], errors[1]["minFDE"])


def test_what_is_no_number_has_no_figure(given):
    (paths, logits, truth, valid), _ = given
    for spoiled in (
        (np.where(np.arange(12)[:, None, None, None] == 3, np.nan, paths), logits),
        (paths, np.where(np.arange(4) == 2, np.inf, logits)),
    ):
        assert np.isnan([*path_figures(path_errors(*spoiled, truth, valid)).values()]).all()
    nobody = path_errors(paths, logits, truth, np.zeros_like(valid))
    assert np.isnan([*path_figures(nobody).values()]).all()
