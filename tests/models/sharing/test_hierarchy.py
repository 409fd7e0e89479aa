"""The hierarchy of tasks: roles, words of edges, who owns which head, and all ways to share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import linearize
from mtljax.errors import UserError
from tests.models.heads.test_object_heads import BATCH, LOSSES, predict
from tests.models.toys import random_variables
from tests.objects import made

TASKS = list(LOSSES)


def owners(model):
    """Part of the parameters -> the tasks whose losses in training depend on it."""
    variables = random_variables(model, BATCH["image"])

    def losses(params):
        found = predict(model, {"params": params}, BATCH, train=True, labels=BATCH)
        return tuple(loss(found[name], BATCH)[0] for name, loss in LOSSES.items())

    found = {}

    def look(params):
        found["owners"] = linearize(losses, params).owners
        return params

    jax.eval_shape(look, variables["params"])
    tree = found["owners"]
    return {
        part: {TASKS[i] for leaf in jax.tree.leaves(own, is_leaf=lambda x: isinstance(x, tuple)) for i in leaf}
        for part, own in tree.items()
    }


def test_detached_a_head_belongs_to_its_own_task():
    found = owners(made.network())
    assert found == {f"heads_{task}": {task} for task in TASKS} | {"encoder": set(TASKS) - {"trajectory"}}


def test_all_attached_heads_belong_to_all_below():
    found = owners(made.network(edges=dict.fromkeys(made.EDGES, "attached")))
    assert found == {
        "encoder": set(TASKS),
        "heads_detect": set(TASKS),
        "heads_instances": {"instances"},
        "heads_pose": {"pose", "trajectory"},
        "heads_track": {"track", "trajectory"},
        "heads_trajectory": {"trajectory"},
    }


@pytest.mark.slow
@pytest.mark.parametrize("edge", made.EDGES)
def test_attached_the_parents_head_belongs_to_both(edge):
    parent, task = edge.split("->")
    found = owners(made.network(edges={edge: "attached"}))
    assert found[f"heads_{parent}"] == {parent, task}
    assert all(found[f"heads_{other}"] == {other} for other in TASKS if other != parent)
    assert found["encoder"] >= {parent, task}


@pytest.mark.slow
@pytest.mark.parametrize("edge", made.EDGES)
def test_truth_is_read_in_evaluation_too(edge):
    edges, other, task = {edge: "truth"}, {**made.batch(seed=7), "image": BATCH["image"]}, edge.split("->")[1]
    if edge == "pose->trajectory":  # no detection of a network that knows nothing is a true object's, so take those
        edges["track->trajectory"] = "truth"
        moved = {"positions": BATCH["instances"]["positions"] + np.float32(1)}
        other = {**BATCH, "instances": BATCH["instances"] | moved}
    model = made.network(edges=edges)
    variables = random_variables(model, BATCH["image"])

    @jax.jit
    def found(labels):
        out = predict(model, variables, BATCH, labels=labels)
        return out, LOSSES[task](out[task], BATCH)

    (first, (total, count)), (second, _) = found(BATCH), found(other)
    unequal = {
        name: not jax.tree.all(jax.tree.map(np.array_equal, first[name], second[name])) for name in ("detect", task)
    }
    assert unequal == {"detect": False, task: True}
    assert np.isfinite(total)
    assert count > 0


@pytest.mark.slow
@pytest.mark.parametrize("edge", ["detect->track", "track->trajectory"])
def test_none_is_without_the_parent(edge):
    parent, task = edge.split("->")
    model = made.network(edges={edge: "none"})
    variables = random_variables(model, BATCH["image"])
    found = jax.jit(lambda params: predict(model, {"params": params}, BATCH, train=True, labels=BATCH)[task])
    params = variables["params"]
    other = {**params, f"heads_{parent}": jax.tree.map(lambda x: x + 0.1, params[f"heads_{parent}"])}
    key = {"track": "offset", "trajectory": "paths"}[task]
    np.testing.assert_array_equal(found(params)[key], found(other)[key])
    with_parent = jax.jit(lambda: predict(made.network(), variables, BATCH, train=True, labels=BATCH)[task][key])()
    assert (found(params)[key] != with_parent).any()


class Adding(mtl.heads.Linear):
    def __call__(self, features, parents):
        return sum(parents.values(), mtl.heads.Linear.__call__(self, features))


def test_other_heads_keep_the_gradient_through_their_parents_but_where_an_edge_says_so():
    heads = {"a": mtl.heads.Linear(1), "b": Adding(1)}
    x = jnp.ones((2, 3))

    def gradient(**options):
        model = mtl.MultiTask(mtl.encoders.MLP((4,)), heads, parents={"b": ("a",)}, **options)
        variables = random_variables(model, x)
        out = jax.grad(lambda params: model.apply({"params": params}, x)["b"].sum())(variables["params"])
        return any(bool((leaf != 0).any()) for leaf in jax.tree.leaves(out["heads_a"])), model.apply(variables, x)["b"]

    attached, detached, none = gradient(), gradient(edges={"a->b": "detached"}), gradient(edges={"a->b": "none"})
    assert (attached[0], detached[0], none[0]) == (True, False, False)
    np.testing.assert_array_equal(attached[1], detached[1])
    assert (none[1] != attached[1]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edges": {"detect->tracks": "none"}}, "unknown edge 'detect->tracks'; did you mean 'detect->track'"),
        ({"edges": {"detect->track": "detatched"}}, "word for the edge 'detect->track': 'detatched'; .* 'detached'"),
        (
            {"edges": {"detect->pose": "none"}},
            "'pose' cannot do without its parent; expected one of detached, attached",
        ),
        ({"parents": made.PARENTS | {"detect": ("trajectory",)}}, "detect -> trajectory -> track -> detect"),
    ],
)
def test_what_is_no_hierarchy_is_told(options, message):
    with pytest.raises(UserError, match=message):
        mtl.MultiTask(made.encoder(), made.heads(), **{"parents": made.PARENTS} | options).in_order(None)


def test_truth_is_for_heads_that_take_labels():
    heads = {"a": mtl.heads.Linear(1), "b": Adding(1)}
    with pytest.raises(UserError, match="edge 'a->b' is 'truth', but the head of 'b', Adding, takes no labels"):
        mtl.MultiTask(mtl.encoders.MLP((4,)), heads, parents={"b": ("a",)}, edges={"a->b": "truth"})


WAYS = {
    "SingleTask": {}, "CrossStitch": {"stages": ("merge",)}, "Sluice": {"stages": ("merge",)}, "NDDR": {"stages": ("merge",)},
    "LearnToBranch": {"nodes": 2}, "MTAN": {}, "PADNet": {"width": 4},
}  # fmt: skip


@pytest.mark.parametrize("way", [pytest.param(way, marks=() if way == "PADNet" else pytest.mark.slow) for way in WAYS])
def test_every_way_to_share_takes_them_and_edges(way):
    model = made.network(getattr(mtl, way), edges={"detect->track": "none"}, **WAYS[way])
    variables = jax.eval_shape(model.init, jax.random.key(0), BATCH["image"])
    rngs = {"dropout": jax.random.key(0)}

    def losses(variables, batch):
        known = {"camera": batch["camera"], "labels": batch, "mutable": list(variables)}
        found, _ = model.apply(variables, batch["image"], train=True, rngs=rngs, **known)
        return {name: loss(found[name], batch) for name, loss in LOSSES.items()}

    found = jax.eval_shape(losses, variables, BATCH)
    assert jax.tree.map(jnp.shape, found) == dict.fromkeys(LOSSES, ((), ()))
