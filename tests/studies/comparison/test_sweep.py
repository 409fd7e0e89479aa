"""Sweeps of preferences: the methods that one text stands for."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.studies.comparison.plan import methods_of
from mtljax.studies.comparison.sweep import expanded, grid
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import balancer_of
from tests.studies.comparison.digits_config import get_config


@pytest.mark.parametrize(("tasks", "count"), [(2, 5), (3, 15), (4, 35)])
def test_a_grid_has_all_its_points_once_and_no_weight_is_0(tasks, count):
    points = np.array(grid(5, tasks))
    assert points.shape == (count, tasks)
    np.testing.assert_allclose(points.sum(axis=1), 1)
    assert points.min() > 0.05
    assert len({tuple(point) for point in points}) == count


def test_a_sweep_is_a_method_for_each_preference():
    config = checked(get_config())
    found = methods_of(config, "balance", "equal(); stch(log=False, preference=sweep(3))")
    assert list(found) == [
        "equal()",
        "stch(log=False, preference={'left': 0.25, 'right': 0.75})",
        "stch(log=False, preference={'left': 0.5, 'right': 0.5})",
        "stch(log=False, preference={'left': 0.75, 'right': 0.25})",
    ]
    assert len(set(found.values())) == 4
    for method in found:
        balancer_of(method, 2, 0, tasks=("left", "right"))


def test_what_is_no_sweep_stays_as_it_is():
    for method in ("equal()", "my.rules:sweep(3)", "given('sweep(x)')"[:5]):
        assert expanded(method, list) == [method]


@pytest.mark.parametrize(
    ("method", "tasks", "message"),
    [
        ("pbi(preference=sweep(1))", ["a", "b"], "whole number of points, at least 2"),
        ("pbi(preference=sweep(0.5))", ["a", "b"], "whole number of points"),
        ("pbi(preference=sweep(2), reference=sweep(2))", ["a", "b"], "expected one sweep"),
        ("pbi(preference=sweep(3))", ["a"], "there is but a"),
        ("pbi(preference=sweep(40))", ["a", "b", "c"], "stands for 820 methods; expected 200 at most"),
    ],
)
def test_a_sweep_that_cannot_be_is_told(method, tasks, message):
    with pytest.raises(UserError, match=message):
        expanded(method, lambda: tasks)
