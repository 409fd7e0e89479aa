"""Tasks for objects in a training step: any measure, in parts, and labels that reach the heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.train.step.gradients import balanced_gradient
from mtljax.train.step.step import make_eval_step
from tests.models.heads.test_object_heads import BATCH, LOSSES
from tests.models.toys import random_variables
from tests.objects import made

METRICS = (mtl.Metric("none", True, lambda sums: 0.0),)  # a task has one
TASKS = {
    name: mtl.Task(name, head, (), LOSSES[name], METRICS, lambda prediction, batch: {}, None, None)
    for name, head in made.heads().items()
}
MODEL = made.network()


@pytest.fixture(scope="module")
def params():
    return random_variables(MODEL, BATCH["image"])["params"]


def gradient_of(params, balancer, measure, **options):
    function = balanced_gradient(MODEL, TASKS, balancer, measure, **options)
    return function, (params, {}, balancer.init(params), BATCH, jax.random.key(0))


@pytest.mark.parametrize(
    ("balancer", "measure", "parts"),
    [
        ("pcgrad", "features", 1),
        pytest.param("upgrad", "shared", 2, marks=pytest.mark.slow),
        pytest.param("famo", "shared", 1, marks=pytest.mark.slow),
    ],
)
def test_balancers_and_measures_take_them(params, balancer, measure, parts):
    function, arguments = gradient_of(params, getattr(mtl, balancer)(5), measure, accumulate=parts)
    found = jax.eval_shape(function, *arguments)
    assert found.losses.shape == (5,)
    assert jax.tree.map(jnp.shape, found.gradient) == jax.tree.map(jnp.shape, params)


@pytest.mark.slow
def test_heads_see_labels_in_training_and_not_in_evaluation(params):
    function, arguments = gradient_of(params, mtl.equal(5), "features")
    found = jax.jit(function)(*arguments)
    assert found.finite
    assert found.present.all()
    moved = {part: bool(any(np.any(leaf) for leaf in jax.tree.leaves(tree))) for part, tree in found.gradient.items()}
    assert moved == dict.fromkeys(params, True)
    added, _ = jax.eval_shape(make_eval_step(MODEL, TASKS), (params, {}), BATCH)
    assert set(added) == set(TASKS)
