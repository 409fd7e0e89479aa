"""Trivial paths: exact on lines, and the published figures on real ones."""

import numpy as np
import pytest

from mtljax.tasks.metrics.objects.paths import path_errors, path_figures
from mtljax.tasks.objects import baselines
from tests.tasks import golden

SEEN, PREDICTED = 8, 12


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


def tracks(rows):
    """Of each pedestrian, its frames and places."""
    for ped in np.unique(rows[:, 1]):
        own = rows[rows[:, 1] == ped]
        yield own[np.argsort(own[:, 0])]


def full_windows(rows):
    """Each 20 successive frames of the file, the pedestrians that are in all of them, if two are."""
    frames = np.unique(rows[:, 0])
    where = {ped: dict(zip(own[:, 0], own[:, 2:], strict=True)) for own in tracks(rows) for ped in own[:1, 1]}
    for begin in range(len(frames) - SEEN - PREDICTED + 1):
        window = frames[begin : begin + SEEN + PREDICTED]
        there = [places for places in where.values() if window[0] in places and all(f in places for f in window)]
        if len(there) >= 2:
            yield from (np.array([places[f] for f in window]) for places in there)


def any_windows(rows):
    """Of each pedestrian, from each place on, up to 20 places, at least 10, and which are there."""
    for own in tracks(rows):
        for begin in range(len(own) - 9):
            window = own[begin : begin + SEEN + PREDICTED, 2:]
            yield np.pad(window, ((0, SEEN + PREDICTED - len(window)), (0, 0)), constant_values=np.nan)


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
    files = [np.loadtxt(shared / "data" / "eth_ucy" / name) for name in given["files"]]
    assert sum(map(len, files)) == given["rows"]
    for protocol, windows in (("full", full_windows), ("any_length", any_windows)):
        every = [window for rows in files for window in windows(rows)]
        for name, expected in given[protocol].items():
            golden.equal(judged(every, name), expected)
