"""The page on a loss for each example, run."""

import numpy as np
import pytest

from tests.test_readme import run_page


@pytest.mark.slow
def test_the_page_of_losses_of_examples_works():
    names = run_page("docs/losses-of-examples.md")
    first, _ = names["losses_and_rows"](
        {key: 0 * value for key, value in names["params"].items()}, names["x"], names["y"]
    )
    np.testing.assert_array_equal(first, np.ones(names["EXAMPLES"]))
    assert (names["losses"] < 0.7 * first).all()  # the one that wants what no other does, too
