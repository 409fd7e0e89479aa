"""Task covariance: the closed form and its alternation, golden; optimality; signs; mistakes."""

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.relations import learn_covariance, task_covariance
from tests.relations import golden


def test_the_golden_closed_form(shared):
    given = golden.read(shared, "small.json")["task_covariance"]
    weights = np.array(given["w"])
    found = task_covariance(weights, eps=0)
    np.testing.assert_allclose(found.omega, given["omega"], atol=1e-9)
    np.testing.assert_allclose(found.correlation, given["correlation"], atol=1e-6)
    spread = np.trace(weights @ np.linalg.inv(found.omega) @ weights.T)
    np.testing.assert_allclose(spread, given["trace_w_inverse_w"], rtol=1e-9)


def test_the_golden_alternation(shared):
    given = golden.read(shared, "small.json")["task_covariance"]["alternation"]
    constants = {name: given[name] for name in ("lambda_1", "lambda_2", "eps", "iterations")}
    found = learn_covariance(given["x"], given["y"], **constants)
    np.testing.assert_allclose(found.weights, given["w"], atol=1e-7)
    np.testing.assert_allclose(found.covariance.omega, given["omega"], atol=1e-7)
    np.testing.assert_allclose(found.covariance.correlation, given["correlation"], atol=1e-5)
    np.testing.assert_allclose(found.objectives[:5], given["first_objectives"], rtol=1e-12)
    np.testing.assert_allclose(found.objectives[-1], given["last_objective"], rtol=1e-9)


def test_no_other_covariance_of_trace_one_fits_better():
    random = np.random.default_rng(0)
    weights = random.normal(size=(7, 4))
    best = np.trace(weights @ np.linalg.inv(task_covariance(weights, eps=0).omega) @ weights.T)
    for _ in range(50):
        root = random.normal(size=(4, 4))
        other = root @ root.T
        assert best < np.trace(weights @ np.linalg.inv(other / np.trace(other)) @ weights.T)


def test_the_objective_never_rises():
    random = np.random.default_rng(1)
    inputs, targets = random.normal(size=(3, 12, 5)), random.normal(size=(3, 12))
    objectives = learn_covariance(inputs, targets, lambda_1=0.05, lambda_2=0.3, eps=1e-4, iterations=40).objectives
    assert (np.diff(objectives) <= 1e-12).all()
    assert objectives[-1] < objectives[0] - 1e-3


def test_signs_are_right_where_one_task_is_the_negative_of_another():
    random = np.random.default_rng(2)
    inputs, weights = random.normal(size=(4, 60, 5)), random.normal(size=5)
    other = random.normal(size=5)
    other -= other @ weights / (weights @ weights) * weights
    truth = np.stack([weights, -weights, weights, other])
    targets = np.einsum("tnd,td->tn", inputs, truth) + 0.01 * random.normal(size=(4, 60))
    found = learn_covariance(inputs, targets, lambda_1=1e-3, lambda_2=1e-3).covariance.correlation
    np.testing.assert_allclose(found[:3, :3], np.outer([1, -1, 1], [1, -1, 1]), atol=0.05)
    assert np.abs(found[3, :3]).max() < 0.3


def test_permuted_tasks_have_permuted_covariances_and_a_sign_is_one_of_rows_and_columns():
    weights = np.random.default_rng(3).normal(size=(6, 4))
    found, order, signs = task_covariance(weights), [2, 0, 3, 1], np.array([1, -1, -1, 1])
    np.testing.assert_allclose(task_covariance(weights[:, order]).omega, found.omega[np.ix_(order, order)])
    np.testing.assert_allclose(task_covariance(signs * weights).correlation, np.outer(signs, signs) * found.correlation)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: task_covariance([[1.0], [2.0]]), "weights of one task"),
        (lambda: task_covariance([[1.0, np.nan]]), "the weight of place 0 for task 1 is nan"),
        (lambda: task_covariance(np.zeros((3, 2)), eps=0), "the weights of task 0 are all 0"),
        (lambda: task_covariance(np.ones((3, 2)), eps=-1), "eps is -1; expected 0 or more"),
        (lambda: learn([np.ones((3, 2))], [np.ones(3)]), "inputs of 1 tasks, targets of 1; expected two or more"),
        (lambda: learn([np.ones((3, 2)), np.ones((3, 1))], [np.ones(3)] * 2), "tasks have 2, 1 features"),
        (lambda: learn([np.ones((3, 2))] * 2, [np.ones(3), np.ones(2)]), r"targets has shape \(2,\); expected \(3,\)"),
        (lambda: learn([np.ones((3, 2))] * 2, [np.ones(3)] * 2, eps=0), "expected eps above 0"),
        (lambda: learn([np.ones((3, 2))] * 2, [np.ones(3)] * 2, iterations=0), "an iteration or more"),
    ],
)
def test_mistakes_are_told(made, told):
    with pytest.raises(UserError, match=told):
        made()


def learn(inputs, targets, **options):
    return learn_covariance(inputs, targets, lambda_1=0.1, lambda_2=0.1, **options)
