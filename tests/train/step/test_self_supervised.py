"""Training without labels: the depth's head is moved by the task that ties it to ego-motion."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import tasks, train
from mtljax.train.run import loop
from mtljax.train.step.gradients import balanced_gradient
from tests import runs
from tests.small_config import get_config
from tests.tasks import still_world as world


class Motion(nn.Module):
    """(B, s, 6) from what each frame and the next look like on the whole: quicker to compile than `EgoMotion`."""

    @nn.compact
    def __call__(self, features, frames):
        pooled = mtl.encoders.global_pool(features)
        z = pooled.reshape(-1, frames, pooled.shape[-1])
        return 0.01 * nn.Dense(6)(jnp.concatenate([z, jnp.roll(z, -1, axis=1)], axis=-1))


def unlabelled_motion(name="ego_motion"):
    """A task of one's own, as a config names it."""
    return mtl.tasks.ego_motion(loss="none", head=Motion(), name=name)


TASKS = {
    "depth": mtl.tasks.depth(loss="none", head=mtl.heads.InverseDepth(scales=1, width=4)),
    "ego_motion": unlabelled_motion(),
    "segment": mtl.tasks.segment(num_classes=2, width=4),
    "self_supervised": mtl.tasks.self_supervised(),
}
ENCODER = mtl.encoders.UNet(width=4, levels=0)
BATCH = world.BATCH | {
    "semantic": world.in_patch()[None].repeat(world.B, axis=0).astype(np.int32),
    "semantic_valid": np.ones((world.B, world.S, world.H, world.W, 1), bool),
}


def test_heads_without_a_loss_are_moved_by_the_task_that_ties_them():
    heads = {name: task.head for name, task in TASKS.items()}
    model = mtl.MultiTask(ENCODER, heads, {name: task.parents for name, task in TASKS.items()})
    shapes = jax.eval_shape(model.init, jax.random.key(0), BATCH["image"])["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda s: rng.normal(0, 0.2, s.shape).astype(np.float32), shapes)
    assert set(jax.tree.leaves(model.groups(params))) == {"shared", "depth", "ego_motion", "segment"}
    gradient_of = jax.jit(balanced_gradient(model, TASKS, mtl.equal(4), "shared"))
    found = gradient_of(params, {}, mtl.equal(4).init(params), BATCH, jax.random.key(0))
    assert found.present.tolist() == [False, False, True, True]
    assert found.losses.tolist()[:2] == [0, 0]
    assert found.finite
    assert all(np.asarray(leaf).any() for leaf in jax.tree.leaves(found.gradient))


def test_losses_are_told_the_step():
    def loss(prediction, batch):
        return jnp.sum(prediction) * 0 + jnp.sum(batch["step"]), jnp.float32(len(batch["step"]))

    task = mtl.Task(**{**vars(TASKS["ego_motion"]), "head": mtl.heads.Linear(1), "loss": loss})
    model = mtl.MultiTask(mtl.encoders.MLP((2,)), {"a": task.head})
    variables = jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 3)))
    balancer, spread = mtl.equal(1), train.mesh()
    tx = train.partition({"shared": optax.sgd(0.1), "a": optax.sgd(0.1)}, model.groups(variables["params"]))
    state = spread.place_state(train.create(variables, balancer, tx))
    step = spread.train(train.make_train_step(model, {"a": task}, balancer, tx, spread=spread))
    for number in range(3):
        state, report = step(state, spread.place_batch({"image": np.ones((8, 3), np.float32)}))
        assert report["losses"].tolist() == [number]


@pytest.mark.slow  # the step above, evaluation and drawing are tested by themselves
def test_a_run_trains_evaluates_and_draws(ten_frames, tmp_path, monkeypatch):
    monkeypatch.setitem(tasks.FACTORIES, "unlabelled_motion", unlabelled_motion)
    monkeypatch.setattr(tasks, "unlabelled_motion", unlabelled_motion, raising=False)
    config = get_config(str(ten_frames))
    config.data = f"rgbd({str(ten_frames)!r}, frames=2)"
    config.model = "MultiTask(encoder=UNet(width=4, levels=1, norm='batch'))"  # which gives depth two scales
    config.tasks = {
        "depth": "depth(loss='none', median_scaling=True, head=InverseDepth(scales=2, width=4))",
        "ego_motion": "unlabelled_motion()",
        "self_supervised": "self_supervised(blur=1)",
    }
    config.optimizers = {group: "adam(1e-2)" for group in ("shared", "depth", "ego_motion")}
    config.batch_size, config.steps, config.parallel = 2, 2, "mesh(data=1)"
    config.checkpoint_every = 1
    assert config.balance == "pcgrad()"
    figures = loop.train(config, tmp_path / "run")
    assert 0 < figures["self_supervised/photometric"] < 1
    assert 0 < figures["depth/AbsRel_median_scaled"] < 1
    assert np.isnan(figures["depth/loss"])
    trained = [line for line in runs.lines(tmp_path / "run", "train") if "self_supervised/loss" in line]
    assert len(trained) == 2
    for line in trained:
        assert "depth/loss" not in line
        assert line["balance/weight/depth"] == line["balance/weight/ego_motion"] == 0
    before, after = (runs.state(tmp_path / "run", step) for step in (1, 2))
    kernels = [key for key in before if "params" in key and "kernel" in key and "opt" not in key]
    assert any("heads_depth" in key for key in kernels)
    assert any("heads_ego_motion" in key for key in kernels)
    assert all((before[key] != after[key]).any() for key in kernels)
    [constant] = runs.lines(tmp_path / "run", "constant")
    assert constant["depth/AbsRel_median_scaled"] >= 0
    assert not any(key.startswith("self_supervised") for key in constant)
    assert (tmp_path / "run" / "panel.png").stat().st_size > 0
