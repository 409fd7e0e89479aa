"""Look-ahead affinities: golden numbers of quadratics, the limit of small steps, mistakes."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.relations import cosines, first_order, lookahead
from tests.relations import golden


def quadratics(a, b, theta):
    """Losses 0.5 |a_j theta - b_j|^2 and their gradients."""
    residuals = np.einsum("tkd,d->tk", a, theta) - b
    return 0.5 * (residuals**2).sum(1), np.einsum("tkd,tk->td", a, residuals)


def exact(a, b, theta, step):
    losses, gradients = quadratics(a, b, theta)
    after = np.stack([quadratics(a, b, theta - step * gradient)[0] for gradient in gradients])
    return lookahead(losses, after, step)


def test_golden_affinities(shared):
    given = golden.read(shared, "small.json")["lookahead"]
    (a, b, theta), step = (np.array(given[name]) for name in ("a", "b", "theta")), given["lr"]
    losses, gradients = quadratics(a, b, theta)
    gramian = gradients @ gradients.T
    np.testing.assert_allclose(losses, given["losses"], atol=1e-10)
    np.testing.assert_allclose(gramian, given["gramian"], atol=1e-10)
    np.testing.assert_allclose(step * exact(a, b, theta, step), given["exact"], atol=1e-10)
    np.testing.assert_allclose(step * first_order(gramian, losses), given["first_order"], atol=1e-10)
    np.testing.assert_allclose(cosines(gramian), given["cosine"], atol=1e-10)
    assert np.abs(np.transpose(given["exact"]) - given["exact"]).max() > 0.1


def test_it_tends_to_first_order_as_the_step_falls_and_its_error_is_of_second():
    for seed in range(5):
        random = np.random.default_rng(seed)
        a, b, theta = random.normal(size=(4, 5, 3)), random.normal(size=(4, 5)), random.normal(size=3)
        losses, gradients = quadratics(a, b, theta)
        limit = first_order(gradients @ gradients.T, losses)
        off = [np.abs(exact(a, b, theta, step) - limit).max() for step in (1e-3, 1e-4, 1e-5)]
        np.testing.assert_allclose([off[1] / off[0], off[2] / off[1]], 0.1, rtol=1e-4)


def test_a_gradient_of_zero_has_no_cosine():
    np.testing.assert_array_equal(cosines([[4.0, 0.0], [0.0, 0.0]]), [[1, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: lookahead([1.0, 0.0], np.ones((2, 2)), 0.1), "the loss at place 1 is 0"),
        (lambda: lookahead([-1.0, 2.0], [[-2, 2], [-1, 1]], 0.1), "the loss at place 0 is -1; .* one above 0"),
        (lambda: first_order(np.eye(2), [1.0, -2.0]), "the loss at place 1 is -2"),
        (lambda: lookahead([1.0, 2.0], np.ones((2, 3)), 0.1), r"losses after a step have shape \(2, 3\)"),
        (
            lambda: lookahead([1.0, 2.0], [[1, 2], [np.inf, 1]], 0.1),
            "the loss after a step of source 1 for target 0 is inf",
        ),
        (lambda: lookahead([1.0, 2.0], np.ones((2, 2)), 0), "the step is 0; expected more than 0"),
        (lambda: first_order(np.ones((3, 3)), [1.0, 2.0]), r"entries of the Gramian have shape \(3, 3\)"),
        (lambda: cosines(np.ones((2, 3))), r"the Gramian has shape \(2, 3\)"),
    ],
)
def test_mistakes_are_told(made, told):
    with pytest.raises(UserError, match=told):
        made()
