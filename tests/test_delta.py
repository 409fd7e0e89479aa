"""One figure for a whole model: its sign, its weights, and published figures."""

import math

import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError

UP = {"segment": {"mIoU": True, "accuracy": True}, "depth": {"AbsErr": False}}
ALONE = {"segment": {"mIoU": 0.4, "accuracy": 0.8}, "depth": {"AbsErr": 0.5}}


def test_positive_is_worse_and_tasks_weigh_the_same():
    ours = {"segment": {"mIoU": 0.36, "accuracy": 0.76}, "depth": {"AbsErr": 0.45, "RMSE": 9.0}}
    np.testing.assert_allclose(mtl.delta_m(ours, ALONE, UP), ((10 + 5) / 2 - 10) / 2)
    worse = ours | {"depth": {"AbsErr": 0.6}}
    assert mtl.delta_m(worse, ALONE, UP) > 0 == mtl.delta_m(ALONE, ALONE, UP)


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        ((39.29, 65.33, 0.5493, 0.2263, 28.15, 23.96, 22.09, 47.50, 61.08), 5.59),  # equal weights
        ((40.13, 65.93, 0.5261, 0.2171, 25.26, 20.08, 28.40, 55.47, 68.15), -4.04),  # Nash-MTL
    ],
)
def test_published_figures_are_over_all_metrics_at_once(ours, published):
    """NYUv2, Navon et al. 2022: its nine metrics, each a task of its own, from figures rounded for print."""
    alone = (38.30, 63.76, 0.6754, 0.2780, 25.01, 19.21, 30.14, 57.20, 69.15)
    up = (True, True, False, False, False, False, True, True, True)
    found = mtl.delta_m(*({str(i): {"": x} for i, x in enumerate(values)} for values in (ours, alone, up)))
    np.testing.assert_allclose(found, published, atol=0.011)


def test_a_baseline_below_zero_keeps_the_sign():
    up, alone = {"a": {"correlation": True}}, {"a": {"correlation": -0.5}}
    assert mtl.delta_m({"a": {"correlation": -0.25}}, alone, up) == -50
    assert mtl.delta_m({"a": {"correlation": -0.75}}, alone, up) == 50


def test_where_it_has_no_meaning_it_is_nan():
    assert math.isnan(mtl.delta_m(ALONE, ALONE | {"depth": {"AbsErr": 0.0}}, UP))
    assert math.isnan(mtl.delta_m(ALONE | {"depth": {"AbsErr": math.nan}}, ALONE, UP))


@pytest.mark.parametrize(
    ("ours", "alone", "up", "message"),
    [
        ({"segment": ALONE["segment"]}, ALONE, UP, "unknown task in the figures of delta_m: 'depth'"),
        (ALONE, ALONE | {"depth": {"AbsError": 1.0}}, UP, "the baseline of delta_m: 'AbsErr'; did you mean 'AbsError'"),
        (ALONE, ALONE, {}, "names no task"),
        (ALONE, ALONE, UP | {"depth": {}}, "one without a metric"),
    ],
)
def test_mistakes_are_named(ours, alone, up, message):
    with pytest.raises(UserError, match=message):
        mtl.delta_m(ours, alone, up)
