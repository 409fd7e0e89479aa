"""The front that a sweep of preferences finds: which methods are on it, and how it is drawn."""

import itertools

import numpy as np
import pytest

from mtljax.report import Comparison, Metric, Run
from mtljax.report.page.blocks import Figures, Table
from mtljax.report.page.context import Context, metrics_of
from mtljax.report.page.fronts import traded
from mtljax.report.statistics.fronts import front

RNG = np.random.default_rng(0)
METRICS = [Metric("a/error", False, True), Metric("b/accuracy", True, True), Metric("c/error", False, True)]


def context(points, tasks=2, **runs):
    """A comparison of methods with one preference each, by the figures of two seeds."""
    metrics = METRICS[:tasks]
    made = [
        Run(method, seed, figures={m.name: x + 0.001 * seed for m, x in zip(metrics, point, strict=True)})
        for method, point in points.items()
        for seed in range(2)
    ]
    made += [Run(method, 0, status="failed") for method in runs]
    comparison = Comparison(metrics, made, [*points, *runs], None)
    judged, shown = metrics_of(comparison, None)
    return Context(comparison, judged, shown, [], [])


def named(*points):
    return {f"pbi(preference=[{i}, {9 - i}])": point for i, point in enumerate(points)}


@pytest.mark.parametrize("up", [(False, True), (True, True, False)])
def test_nothing_on_the_front_is_dominated_and_all_else_is(up):
    points = {str(i): tuple(point) for i, point in enumerate(RNG.uniform(size=(40, len(up))).round(2))}
    found = front(points, up)
    sign = np.where(up, 1, -1)

    def better(one, other):
        a, b = sign * points[one], sign * points[other]
        return (a >= b).all() and (a > b).any()

    for name in points:
        assert any(better(other, name) for other in points) == (name not in found)
    assert front({"x": (1.0, 2.0), "y": (1.0, 2.0)}, (True, True)) == ["x", "y"]


def test_two_tasks_are_one_figure_and_a_table():
    made = context(named((0.1, 0.2), (0.2, 0.5), (0.3, 0.4)) | {"equal()": (0.3, 0.9)})
    (section,) = traded(made)
    figures, table = section.blocks
    assert isinstance(figures, Figures)
    assert isinstance(table, Table)
    assert [(row[0].text, row[-1].text) for row in table.rows] == [
        ("pbi(preference=[0, 9])", "yes"),
        ("pbi(preference=[1, 8])", "yes"),
        ("pbi(preference=[2, 7])", "no"),
        ("equal()", "yes"),
    ]
    (drawn,) = figures.drawn
    assert drawn.name == "front-a-error-b-accuracy"
    assert "of 4 methods; 3 of them are on the front" in drawn.alt
    assert "a error (lower is better)" in drawn.svg
    assert drawn.png.startswith(b"\x89PNG")


def test_three_tasks_are_drawn_from_three_sides():
    made = context(named(*RNG.uniform(size=(4, 3)).tolist()), tasks=3)
    (section,) = traded(made)
    pairs = itertools.combinations(["a-error", "b-accuracy", "c-error"], 2)
    assert [one.name for one in section.blocks[0].drawn] == [f"front-{x}-{y}" for x, y in pairs]


def test_there_is_a_front_of_preferences_alone_and_of_what_is_done():
    assert traded(context({"equal()": (0.1, 0.2), "pcgrad()": (0.2, 0.1)})) == []
    (section,) = traded(context({}, **named((), ())))
    assert section.blocks[0].lines == ["No run is done yet."]
    (section,) = traded(context(named((0.1,), (0.2,)), tasks=1))
    assert section.blocks[0].lines == ["Drawn of two or three tasks; there are 1."]


def test_a_legend_tells_one_preference_from_another():
    names = [f"stch(log=False, preference={{'left': {x}, 'right': {1 - x}}})" for x in (0.25, 0.75)]
    (section,) = traded(context({names[0]: (0.1, 0.2), names[1]: (0.2, 0.5)}))
    for share in (0.25, 0.75):
        assert f"left': {share}, 'right': {1 - share}" in section.blocks[0].drawn[0].svg
