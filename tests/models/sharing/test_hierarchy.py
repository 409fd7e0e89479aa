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


@pytest.mark.parametrize("edge", made.EDGES)
def test_attached_the_parents_head_belongs_to_both(edge):
    parent, task = edge.split("->")
    found = owners(made.network(edges={edge: "attached"}))
    assert found[f"heads_{parent}"] == {parent, task}
    assert all(found[f"heads_{other}"] == {other} for other in TASKS if other != parent)
    assert found["encoder"] >= {parent, task}


@pytest.mark.parametrize("edge", made.EDGES)
def test_truth_is_read_in_evaluation_too(edge):
    model = made.network(edges={edge: "truth"})
    variables = random_variables(model, BATCH["image"])
    other = {**made.batch(seed=7), "image": BATCH["image"], "camera": BATCH["camera"]}
    task = edge.split("->")[1]

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
    assert count > 0 or edge == "pose->trajectory"  # whose slots are the detections of a network that knows nothing


def test_none_is_without_the_parent():
    variables = random_variables(made.network(), BATCH["image"])
    for edge, task, key in (("detect->track", "track", "offset"), ("track->trajectory", "trajectory", "paths")):
        model = made.network(edges={edge: "none"})
        out = predict(model, variables, BATCH, train=True, labels=BATCH, seed=0)[task][key]
        same = predict(model, variables, BATCH, train=True, labels=BATCH, seed=1)[task][key]
        with_parent = predict(made.network(), variables, BATCH, train=True, labels=BATCH)[task][key]
        assert (out != with_parent).any()
        np.testing.assert_array_equal(out, same)  # no noise of a heat map


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


@pytest.mark.parametrize("way", WAYS)
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
