"""Whose each parameter is, whatever tasks are called: by name, and by whose loss moves it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import models
from mtljax.errors import UserError
from tests.models.toys import CONV, IMAGES, MLP, X, ways

NUMBERED = ("a", "a_0", "a_0_0")
NAMES = (*NUMBERED, "encoder", "heads", "experts_0")
OWN = {"SingleTask", "CrossStitch", "Sluice", "NDDR", "MTAN", "MMoE", "CGC", "PLE", "DSelectK", "PADNet"}


def every(names):
    heads = {name: mtl.heads.Linear(2) for name in names}
    found = {**ways(CONV, heads), **ways(MLP, heads)}
    return [(n, found[n], IMAGES if n in ("MTAN", "PADNet") else X) for n in found]


def test_each_task_has_what_a_task_has():
    """Tasks have as many parameters each, of the same shapes, and none is lost to another or to all."""
    plain = {name: model for name, model, _ in every([f"t{i}" for i in range(len(NAMES))])}
    for name, model, x in every(NAMES):
        params = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
        expected = jax.eval_shape(plain[name].init, jax.random.key(0), x)["params"]
        assert by_group(model, params) == {
            NAMES[int(group[1:])] if group[1:].isdigit() else group: shapes
            for group, shapes in by_group(plain[name], expected).items()
        }, name
        assert (sum(map(len, by_group(model, params)[NAMES[0]])) > 2) or name not in OWN


def by_group(model, params):
    found = {}
    for group, leaf in zip(jax.tree.leaves(model.groups(params)), jax.tree.leaves(params), strict=True):
        found.setdefault(group, []).append(leaf.shape)
    return {group: sorted(shapes) for group, shapes in found.items()}


@pytest.mark.slow
def test_gates_of_ple_are_moved_by_their_own_tasks_loss():
    model = mtl.PLE({name: mtl.heads.Linear(2) for name in NUMBERED}, MLP, shared=1, own=1)
    params = jax.jit(model.init)(jax.random.key(0), X)["params"]
    gates = {name: part for name, part in params.items() if name.startswith("gates")}
    groups = model.groups(gates)

    def losses(gates):
        found = model.apply({"params": {**params, **gates}}, X)
        return {name: jnp.sum(p**2) for name, p in found.items()}

    felt = jax.jit(jax.jacrev(losses))(gates)
    last = f"_{model.levels - 1}"
    for task in NUMBERED:
        mine = {name for name in gates if name.endswith(last) and np.any(felt[task][name]["logits"]["kernel"])}
        assert {jax.tree.leaves(groups[name])[0] for name in mine} == {task}


@pytest.mark.parametrize(("name", "part"), [("PADNet", "encoder"), ("Sluice", "networks_a"), ("DSelectK", "gates_a")])
def test_what_is_noted_of_a_task_may_have_the_name_of_a_part(name, part):
    names = ("a", part)
    [(model, x)] = [(model, x) for n, model, x in every(names) if n == name]
    assert part in jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    collections = [models.INITIAL, models.PENALTIES]

    def noted(variables):
        return model.apply(variables, x, train=True, mutable=collections, rngs={"dropout": jax.random.key(0)})[1]

    [found] = jax.eval_shape(noted, variables).values()
    assert set(found) == set(names)


@pytest.mark.parametrize(
    ("make", "name"),
    [(mtl.MultiTask, "shared"), (mtl.CrossStitch, "stitch"), (mtl.Sluice, "stitch"), (mtl.LearnToBranch, "branch")],
)
def test_a_task_cannot_have_the_name_of_a_group(make, name):
    model = make(MLP, {name: mtl.heads.Linear(1), "b": mtl.heads.Linear(1)})
    params = jax.eval_shape(model.init, jax.random.key(0), X)["params"]
    with pytest.raises(UserError, match=f"a task cannot be named '{name}'"):
        model.groups(params)


def test_a_task_cannot_have_the_name_of_a_stage_that_has_choices():
    with pytest.raises(ValueError, match="the task 'layer2' is named as a stage of MLP"):
        mtl.LearnToBranch(MLP, {"layer2": mtl.heads.Linear(1)})
