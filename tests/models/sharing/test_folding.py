"""Frames of clips folded into the batch and back: each model's losses of real tasks are the sums of its examples'."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import models
from mtljax.models.parts.clips import by_clip
from tests.models.toys import random_like

B, SIDE = 3, 4
LAYOUTS = {"images": (), "clips of one": (1,), "clips of two": (2,)}


class Points(mtl.encoders.Staged):
    """Two layers at every pixel, which compile in no time."""

    stages = ("first", "second")

    @nn.compact
    def stage(self, name, x, before, train):
        return nn.relu(nn.Dense(4, name=name)(before.get("first", x)))

    def features(self, outputs):
        return (outputs["second"],)


def finest(features, size=(SIDE, SIDE)):
    x = features[0] if isinstance(features, tuple) else features
    assert x.shape[1:3] == size
    return x


class Point(nn.Module):
    """A linear prediction at every pixel."""

    channels: int

    @nn.compact
    def __call__(self, features, size):
        return nn.Dense(self.channels)(finest(features, size))


TASKS = {
    "depth": mtl.tasks.depth(head=Point(1)),
    "kind": mtl.tasks.classify(num_classes=3, label="kind"),
    "segment": mtl.tasks.segment(num_classes=3, head=Point(3)),
}
# The last gives a dict, of what it predicts itself and of another task's prediction.
HEADS = {name: task.head for name, task in TASKS.items()} | {"tied": mtl.heads.Parents(Point(1))}
PARENTS = {"tied": ("depth",)}
VECTORS = {"kind": HEADS["kind"], "other": mtl.heads.Linear(3)}
POINTS, MLP = Points(), mtl.encoders.MLP((8,))
MODELS = {
    "MultiTask": mtl.MultiTask(POINTS, HEADS, PARENTS),
    "SingleTask": mtl.SingleTask(POINTS, HEADS, PARENTS),
    "CrossStitch": mtl.CrossStitch(POINTS, HEADS, PARENTS),
    "Sluice": mtl.Sluice(POINTS, HEADS, PARENTS),
    "NDDR": mtl.NDDR(POINTS, HEADS, PARENTS, norm="group"),
    "MTAN": mtl.MTAN(POINTS, HEADS, PARENTS, norm="group"),
    "PADNet": mtl.PADNet(POINTS, HEADS, PARENTS, width=4),
    "LearnToBranch": mtl.LearnToBranch(POINTS, HEADS, PARENTS, nodes=2),
    "MMoE": mtl.MMoE(VECTORS, MLP, experts=2),
    "CGC": mtl.CGC(VECTORS, MLP, shared=1, own=1),
    "PLE": mtl.PLE(VECTORS, MLP, shared=1, own=1),
    "DSelectK": mtl.DSelectK(VECTORS, MLP, experts=3),
}


def batch_of(layout):
    """Labels that differ much from example to example, in parts unknown."""
    rng = np.random.default_rng(0)
    shape = (B, *layout, SIDE, SIDE)
    return {
        "image": rng.uniform(size=(*shape, 3)).astype(np.float32),
        "depth": (10.0 ** np.arange(B).reshape(-1, *[1] * len(shape)) * np.ones((*shape, 1))).astype(np.float32),
        "depth_valid": rng.uniform(size=(*shape, 1)) < 0.8,
        "semantic": rng.integers(0, 3, (*shape, 1)),
        "semantic_valid": rng.uniform(size=(*shape, 1)) < 0.8,
        "kind": np.arange(B) % 3,
        "kind_valid": np.ones(B, bool),
    }


def loss(name, prediction, batch):
    if name == "tied":
        found = [TASKS["depth"].loss(prediction[part], batch) for part in ("depth", "static")]
        return found[0][0] + found[1][0]
    return TASKS["kind" if name == "other" else name].loss(prediction, batch)[0]


def losses(model, variables, batch):
    """In training: of final and of initial predictions, and the shapes of both."""
    mutable, rngs = [models.INITIAL, models.PENALTIES, "annealing"], {"dropout": jax.random.key(0)}
    final, sown = model.apply(variables, batch["image"], train=True, mutable=mutable, rngs=rngs)
    predictions = {"final": final}
    for task, earlier in sown.get(models.INITIAL, {}).items():
        for i, prediction in enumerate(earlier):
            predictions.setdefault(f"initial {i}", {})[task] = prediction
    return {which: {name: loss(name, p, batch) for name, p in found.items()} for which, found in predictions.items()}


QUICK = ("MultiTask", "PADNet")  # are tried on all kinds of images, the others on clips, by default of one frame
CASES = [
    pytest.param(n, layout, id=f"{n}-{of}", marks=[] if n in QUICK or of == "clips of one" else pytest.mark.slow)
    for n in MODELS
    for of, layout in LAYOUTS.items()
    if n in QUICK or layout
]


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_losses_are_the_sums_of_the_examples(name, layout):
    model, batch = MODELS[name], batch_of(layout)
    quick = {"xla_backend_optimization_level": 0}
    variables = random_like(jax.eval_shape(model.init, jax.random.key(0), batch["image"]))
    assert models.INITIAL not in variables
    of = jax.jit(lambda batch: losses(model, variables, batch), compiler_options=quick)
    whole = of(batch)
    assert set(whole) == ({"final", "initial 0"} if name == "PADNet" else {"final"})
    # A batch of one example again and again, of the same shape, compiles nothing anew.
    thrice = [of(jax.tree.map(lambda x, i=i: x[[i] * B], batch)) for i in range(B)]
    jax.tree.map(lambda a, *parts: np.testing.assert_allclose(a, sum(parts) / B, rtol=2e-4), whole, *thrice)


def test_all_models_are_tried():
    assert set(MODELS) == set(models.SHARING)


class Half(nn.Module):
    """A prediction of every frame from another's, without knowing of clips."""

    @nn.compact
    def __call__(self, features, parents):
        return nn.Dense(1)(finest(features)) * 0 + parents["depth"] / 2


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("make", [mtl.MultiTask, lambda *args: mtl.PADNet(*args, width=4)], ids=["MultiTask", "PADNet"])
def test_a_head_that_knows_no_frames_sees_its_parents_without(make, layout):
    model = make(POINTS, {"depth": Point(1), "half": Half()}, {"half": ("depth",)})
    images = batch_of(layout)["image"]
    variables = random_like(jax.eval_shape(model.init, jax.random.key(0), images))
    found = jax.jit(model.apply)(variables, images)
    assert found["half"].shape == (B, *layout, SIDE, SIDE, 1)
    np.testing.assert_allclose(found["half"], found["depth"] / 2, rtol=1e-5)


def test_arrays_of_a_dict_get_their_frames_back():
    assert jax.tree.map(jnp.shape, by_clip({"a": jnp.ones((4, 3)), "b": jnp.ones((4, 1, 2))}, 2)) == {
        "a": (2, 2, 3),
        "b": (2, 2, 1, 2),
    }
