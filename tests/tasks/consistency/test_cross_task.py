"""Losses through a network that stands still: what they are, what they move, which are active, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.models.heads.frozen import FROZEN
from mtljax.tasks.consistency.network import LabelNetwork

RNG = np.random.default_rng(0)
SHAPE = (2, 2, 4, 5)
LABEL = RNG.normal(size=(*SHAPE, 3)).astype(np.float32)
VALID = RNG.random((*SHAPE, 1)) < 0.7
VALID[1, 1, 0, 0] = True
BATCH = {"normal": np.where(VALID, LABEL, 0), "normal_valid": VALID}


class Linear:
    """A pure pair: each task's output is a product of the pixels' channels, by a matrix of its own."""

    def apply(self, variables, images, camera=None, tasks=()):
        return {task: images @ variables["params"][task] for task in tasks}


WEIGHTS = {
    "params": {"depth": RNG.normal(size=(3, 1)).astype(np.float32), "edges": RNG.normal(size=(3, 2)).astype(np.float32)}
}
SHAPES = jax.eval_shape(lambda: WEIGHTS)


def network(workdir, label="normal"):
    return LabelNetwork(workdir, label, ("depth", "edges"), Linear(), lambda: SHAPES)


def made(**given):
    through = {"depth": "runs/a", "edges": "runs/a"}
    return mtl.tasks.cross_task(
        **{"target": "normals", "through": through, "networks": network, "name": "seen", **given}
    )


def prediction(p):
    return {"normals": p, FROZEN: WEIGHTS}


def test_a_loss_is_the_distance_of_what_is_seen_of_prediction_and_label():
    p = LABEL + RNG.normal(size=LABEL.shape).astype(np.float32)
    tasks = made()
    assert [task.name for task in tasks] == ["seen_depth", "seen_edges"]
    for task, key in zip(tasks, ("depth", "edges"), strict=True):
        assert task.parents == ("normals",)
        assert task.labels == ("normal",)
        seen = np.abs((p - LABEL) @ WEIGHTS["params"][key]).mean(-1)
        total, count = task.loss(prediction(p), BATCH)
        np.testing.assert_allclose(total, seen[VALID[..., 0]].sum(), rtol=1e-5)
        assert count == VALID.sum()
        np.testing.assert_allclose(task.primary.value(task.sums(prediction(p), BATCH)), total / count, rtol=1e-6)
        assert task.loss(prediction(np.where(VALID, LABEL, np.inf)), BATCH)[0] == 0
        assert np.isnan(task.loss(prediction(np.full_like(p, np.nan)), BATCH)[0])


def test_it_moves_the_prediction_towards_the_label_where_that_is_known():
    [task, _] = made()
    p = LABEL + 0.3
    gradient = np.asarray(jax.grad(lambda p: task.loss(prediction(p), BATCH)[0])(p))
    assert not gradient[~VALID[..., 0]].any()
    before, after = (task.loss(prediction(x), BATCH)[0] for x in (p, p - 0.01 * gradient))
    assert 0 < after < before


def test_an_activation_makes_a_label_of_a_prediction():
    [task, _] = made(activation=jnp.tanh)
    p = np.arctanh(0.9 * np.tanh(LABEL))
    expected = np.abs((np.tanh(p) - LABEL) @ WEIGHTS["params"]["depth"])[VALID].sum()
    np.testing.assert_allclose(task.loss(prediction(p.astype(np.float32)), BATCH)[0], expected, rtol=1e-4)


def test_k_are_active_at_a_time_and_others_count_nothing():
    through = {"depth": "runs/a", "edges": "runs/b"}
    tasks = made(through=through, k=1, every=10)
    drawn = []
    for step in (0, 9, *range(10, 200, 10)):
        found = [task.loss(prediction(LABEL + 1), BATCH | {"step": np.full(2, step)}) for task in tasks]
        active = [float(count) > 0 for _, count in found]
        assert sum(active) == 1
        assert all(float(total) == 0 for (total, _), on in zip(found, active, strict=True) if not on)
        drawn.append(active.index(True))
    assert drawn[0] == drawn[1]
    assert 3 < sum(drawn[2:]) < 16
    assert all(float(task.loss(prediction(LABEL), BATCH)[1]) > 0 for task in tasks)  # in evaluation


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"networks": None}, "give networks="),
        ({"through": {}}, r"seen\(through=\{\}\): expected a dict"),
        ({"through": {"edge": "runs/a"}}, r"task of 'runs/a' in seen\(through=...\): 'edge'; did you mean 'edges'"),
        ({"k": 3}, r"seen\(k=3\): expected 1 to 2"),
        ({"k": 0}, r"seen\(k=0\)"),
        ({"every": 0}, "at least 1"),
        ({"networks": lambda w: network(w, "")}, "'runs/a' was trained from images; expected a run with config.input"),
    ],
)
def test_mistakes_are_told(given, message):
    with pytest.raises(UserError, match=message):
        made(**given)


def test_networks_of_one_label_go_together():
    def mixed(workdir):
        return network(workdir, workdir)

    with pytest.raises(UserError, match=r"from the labels 'depth' \(depth\), 'edge' \(edge\); expected one label"):
        made(through={"depth": "depth", "edges": "edge"}, networks=mixed)


def test_predictions_that_do_not_fit_are_refused():
    [task, _] = made()
    for p in (LABEL[:1], LABEL[:, :, :2], LABEL[..., :2]):
        with pytest.raises(UserError, match="expected"):
            task.loss(prediction(p), BATCH)
