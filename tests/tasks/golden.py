"""Golden figures of objects, read once, and how they are compared."""

import functools
import json

import numpy as np


@functools.cache
def read(shared, name):
    """The content of one file of `golden/objects`."""
    return json.loads((shared / "golden" / "objects" / name).read_text())


def equal(found, expected, atol=1e-9):
    """Asserts that each expected figure was found; -1 and null stand for NaN."""
    assert expected
    wanted = {name: np.nan if value in (-1, None) else value for name, value in expected.items()}
    assert wanted.keys() <= found.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=atol, err_msg=name)


def box_rows(rows):
    """Image, category and box of rows as COCO has them."""
    return [np.array([row[key] for row in rows]) for key in ("image_id", "category_id", "bbox")]
