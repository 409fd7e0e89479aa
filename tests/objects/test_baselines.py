"""Trivial paths: exact on lines, and the published figures on real ones."""

import numpy as np
import pytest

from mtljax.data.sources.eth_ucy import PREDICTED, SEEN, any_windows, full_windows, read_places
from mtljax.objects import baselines
from mtljax.tasks.metrics.objects.paths import path_errors, path_figures
from tests.tasks import golden


@pytest.mark.parametrize("name", ["constant_velocity", "line"])
def test_lines_are_exact(name):
    rng = np.random.default_rng(0)
    start, speed = rng.normal(size=(2, 5, 1, 3))
    path = start + speed * np.arange(SEEN + PREDICTED)[:, None]
    found = getattr(baselines, name)(path[:, :SEEN], PREDICTED)
    np.testing.assert_allclose(found, path[:, SEEN:], atol=1e-12)


def test_places_that_are_not_known_are_bridged():
    path = np.arange(7.0)[:, None] * [1.0, -2.0]
    seen = np.array([[0, 1, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    history = np.where(seen[..., None], path[:5], 1e9)
    found = baselines.constant_velocity(history, 2, seen)
    np.testing.assert_allclose(found[0], path[5:])
    np.testing.assert_array_equal(found[1], path[[1, 1]])
    assert np.isnan(found[2]).all()
    np.testing.assert_array_equal(baselines.standing(history, 2, seen)[:2], path[[[3, 3], [1, 1]]])


def judged(windows, name):
    windows = np.stack(list(windows))
    found = getattr(baselines, name)(windows[:, :SEEN], PREDICTED)
    truth = windows[:, SEEN:]
    errors = path_errors(found[:, None], np.zeros((len(found), 1)), truth, ~np.isnan(truth).any(axis=2))
    figures = path_figures(errors)
    return {"windows": len(windows), "ADE": figures["minADE"], "FDE": figures["minFDE"]}


@pytest.mark.parametrize(
    "scene",
    [
        "eth",
        pytest.param("hotel", marks=pytest.mark.slow),
        pytest.param("zara1", marks=pytest.mark.slow),
        pytest.param("univ", marks=pytest.mark.slow),
    ],
)
def test_golden_figures_of_real_paths(shared, scene):
    given = golden.read(shared, "eth_ucy.json")["expected"][scene]
    files = [read_places(shared / "data" / "eth_ucy" / name) for name in given["files"]]
    assert sum(map(len, files)) == given["rows"]
    for protocol, windows in (("full", full_windows), ("any_length", any_windows)):
        every = [window for rows in files for window in windows(rows)]
        for name, expected in given[protocol].items():
            golden.equal(judged(every, name), expected)
