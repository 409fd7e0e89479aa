"""Labels whose id is no class: a figure, a note at the start, and above a share an error that names them."""

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.run.evaluate import Accumulator


def semantic(ids, valid=True):
    ids = np.array(ids).reshape(1, 1, 1, -1, 1)
    return {"semantic": ids, "semantic_valid": np.broadcast_to(valid, ids.shape)}


def share(task, batch, shape):
    found = Accumulator({"it": task})
    sums = jax.jit(task.sums)(np.zeros((*shape, 3), np.float32), batch)
    found.add({"it": {"total": 0.0, "count": 1.0, "sums": sums}}, {}, batch)
    return found.figures()["it/unclassed"]


def test_the_share_of_labels_without_a_class_is_a_figure():
    task = mtl.tasks.segment(num_classes=3)
    ids = [0, 1, 2, 3, 7, 255, -1, 2]
    assert share(task, semantic(ids), (1, 1, 1, 8)) == 2 / 6
    assert (
        share(task, semantic(ids, np.array([1, 1, 1, 0, 1, 1, 1, 1], bool).reshape(1, 1, 1, 8, 1)), (1, 1, 1, 8)) == 0.2
    )
    assert np.isnan(share(task, semantic([255, -1] * 4), (1, 1, 1, 8)))
    one = mtl.tasks.classify(num_classes=3, label="y")
    assert share(one, {"y": np.array([0, 3, 255, -1]), "y_valid": np.ones(4, bool)}, (4,)) == 2 / 3
    assert "unclassed" not in {metric.name for metric in (*task.metrics, *one.metrics)}  # nothing to be judged by


@pytest.mark.parametrize(
    ("task", "ids", "message"),
    [
        (mtl.tasks.segment(num_classes=2), [0, 0, 0, 255], "holds 0 and 255 alone.*nothing is of class 1"),
        (
            mtl.tasks.segment(num_classes=2, ignore=3),
            [0, 0, 255],
            r"33 % of the labels 'semantic'.*id 255; expected 0 to 1",
        ),
        (
            mtl.tasks.segment(num_classes=3),
            [1, 2, 3, 3],
            "50 %.*id 3; expected 0 to 2.*Found are 1 to 3; num_classes=3",
        ),
        (mtl.tasks.segment(num_classes=3), [0, 1, 2, 3, 4, 5, 255], "50 %.*ids 3, 4, 5; expected 0 to 2, or 255 or -1"),
        (mtl.tasks.segment(num_classes=3), [0, 1, -2], "id -2"),
        (mtl.tasks.segment(num_classes=3), [0.0, 1.0], "dtype float64"),
    ],
)
def test_labels_that_would_be_left_out_are_refused(task, ids, message):
    with pytest.raises(UserError, match=message):
        task.check(semantic(ids))


@pytest.mark.parametrize(
    ("classes", "ids"),
    [(3, [0, 1, 2, 255, -1]), (3, [0, 255, 255]), (2, [0, 0]), (2, [0, 1, 255]), (2, [255]), (3, [0, -1])],
)
def test_gaps_are_no_fault(classes, ids):
    assert not mtl.tasks.segment(num_classes=classes).check(semantic(ids))
    assert not mtl.tasks.segment(num_classes=classes).check(semantic([9, *ids], np.array([0] + [1] * len(ids), bool).reshape(1, 1, 1, -1, 1)))  # fmt: skip


def test_a_few_are_told():
    said = mtl.tasks.segment(num_classes=3).check(semantic([4] + [1] * 199))
    assert "0.5 % of the labels 'semantic' have no class: id 4" in said
    y = {"y": np.array([7] + [1] * 199), "y_valid": np.ones(200, bool)}
    assert "id 7; expected 0 to 2, or -1" in mtl.tasks.classify(num_classes=3, label="y").check(y)
