"""A run that diverges is told which task, since when, and what to look at, by what was seen."""

import types

import numpy as np
import pytest

from mtljax.train.run.divergence import Divergence

TASKS = {name: types.SimpleNamespace(labels=(f"{name}_label",)) for name in ("depth", "kind")}
NAN = float("nan")


def report(depth, kind, *, gradient=True, present=(True, True)):
    finite = gradient is True and bool(np.isfinite([depth, kind]).all())
    fine = finite or gradient == "update"
    return {
        "losses": np.array([depth, kind]),
        "present": np.array(present),
        "finite": np.array(finite),
        "finite_gradient": np.array(fine),
    }


def told(reports, dtype="float32"):
    """Lines on the way, and what is said in the end."""
    watched = Divergence(TASKS, dtype)
    lines = [watched.note(step, one) for step, one in enumerate(reports, 1)]
    return [line for line in lines if line], watched.advice()


def order(advice):
    words = ("the learning rate", "precision", "labels and inputs")
    return sorted(words, key=advice.index)


def test_a_loss_that_grew_points_at_the_learning_rate():
    reports = [report(1.0, 2.0), report(0.5, 2.0), report(90.0, 2.0), report(NAN, 2.0), report(NAN, NAN)]
    _, advice = told(reports)
    assert advice.startswith("The first was at step 4: loss of depth. Look at, in this order: the learning rate")
    assert "the loss of 'depth' had gone from 0.5 at step 2 to 90 at step 3" in advice
    assert order(advice) == ["the learning rate", "labels and inputs", "precision"]
    assert "labels and inputs (depth_label)" in advice


def test_a_loss_that_never_was_a_number_points_at_labels():
    _, advice = told([report(NAN, 2.0), report(NAN, 1.9)])
    assert order(advice) == ["labels and inputs", "the learning rate", "precision"]
    assert "(depth_label): the loss of 'depth' never was a finite number" in advice


@pytest.mark.parametrize(
    ("reports", "dtype", "wanted"),
    [
        ([report(1, 2), report(NAN, 2)], "float32", ["labels and inputs", "the learning rate", "precision"]),
        ([report(1, 2), report(NAN, 2)], "bfloat16", ["precision", "labels and inputs", "the learning rate"]),
        ([report(1, 2), report(1, 2, gradient=False)], "float32", ["precision", "labels and inputs", "the learning rate"]),
        ([report(1, 2), report(1, 2, gradient="update")], "float32", ["the learning rate", "labels and inputs", "precision"]),
    ],
)  # fmt: skip
def test_the_order_is_that_of_what_was_seen(reports, dtype, wanted):
    assert order(told(reports, dtype)[1]) == wanted


def test_the_first_of_the_updates_in_a_row_is_told():
    reports = [report(NAN, 1), report(1, 1), report(1, NAN), report(NAN, NAN)]
    assert "The first was at step 3: loss of kind." in told(reports)[1]


def test_a_loss_that_explodes_is_told_once_and_at_once():
    reports = [report(1.0, 1.0), report(0.5, 99.0), report(2.0, 101.0), report(300.0, 500.0), report(400.0, 1e9)]
    lines, _ = told(reports)
    assert [line.partition(".")[0] for line in lines] == [
        "step 3: the loss of task 'kind' is 101, over 100 times its first; it was 1 at step 1",
        "step 4: the loss of task 'depth' is 300, over 100 times its first; it was 0",
    ]


def test_an_absent_task_tells_nothing():
    lines, _ = told([report(1.0, 1.0), report(1.0, 1e6, present=(True, False))])
    assert lines == []


def test_weights_that_are_no_numbers_point_at_the_balancer():
    """One of one's own, mostly; losses and labels are not to blame."""
    bad = report(1, 2, gradient=False) | {"weights": np.array([NAN, 1.0])}
    _, advice = told([report(1, 2) | {"weights": np.ones(2)}, bad])
    assert advice.startswith(
        "The first was at step 2: weights that the balancer gives. Look at, in this order: the balancer"
    )
    _, advice = told([bad | report(1, NAN)])
    assert advice.startswith("The first was at step 1: loss of kind.")
