"""A label that takes the place of the image."""

import numpy as np
import pytest

from mtljax.data import pipeline
from mtljax.data.hidden import Hidden
from mtljax.errors import UserError
from tests.data.test_hidden import Clips

SOURCE = Clips(3)


def example(**changes):
    return {**SOURCE[0], **changes}


def test_all_batches_have_it_with_its_holes():
    hole = np.array([True, False, True, True]).reshape(1, 2, 2, 1)
    found = pipeline.stack([example(depth_valid=hole)], keep=("depth",), label="depth")
    np.testing.assert_array_equal(found["image"], hole[None].astype(np.float32))
    assert found["image"].dtype == np.float32
    options = {"keep": ("depth",), "num_threads": 0, "label": "depth"}
    for raw in (False, True):
        [train, last] = (
            next(pipeline.train_batches(SOURCE, 2, 0, raw=raw, **options)),
            list(pipeline.eval_batches(SOURCE, 2, raw=raw, **options))[-1],
        )
        np.testing.assert_array_equal(train["image"], np.ones((2, 1, 2, 2, 1)))
        assert last["image"][:, 0, 0, 0, 0].tolist() == [1, 0]  # nothing of what fills it up


def test_it_is_never_hidden():
    hidden = Hidden(Clips(40), 0.5, seed=0, shown=("depth",))
    assert all(hidden[i]["depth_valid"].all() for i in range(40))
    assert 5 < sum(hidden[i]["semantic_valid"].all() for i in range(40)) < 35


@pytest.mark.parametrize(
    ("label", "made", "message"),
    [
        ("dept", {}, "unknown label in place of the image: 'dept'; did you mean 'depth'"),
        ("ego_motion", {}, r"'ego_motion' in place of the image has shape \(1, 6\); expected a map"),
        ("semantic", {"semantic": np.full((1, 2, 2, 1), 4)}, "'semantic' in place of the image holds class ids"),
    ],
)
def test_what_is_no_map_of_numbers_is_refused(label, made, message):
    with pytest.raises(UserError, match=message):
        pipeline.stack([example(**made)], label=label)
