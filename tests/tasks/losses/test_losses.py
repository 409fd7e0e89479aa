"""Losses and metrics against plain NumPy transcriptions of their definitions, on labels with holes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from tests.tasks import measures

B, S, H, W = 3, 2, 6, 8
RNG = np.random.default_rng(0)
K = np.array([[7.0, 0, 4], [0, 7, 3], [0, 0, 1]], np.float32)
VALID = RNG.random((B, S, H, W, 1)) < 0.7
VALID[0, 1] = False  # an image without any label
BATCH = {
    "semantic": RNG.integers(0, 4, (B, S, H, W, 1)).astype(np.int32),
    "depth": RNG.uniform(1, 9, (B, S, H, W, 1)).astype(np.float32),
    "normal": RNG.normal(size=(B, S, H, W, 3)).astype(np.float32),
    "edge": (RNG.random((B, S, H, W, 1)) < 0.2).astype(np.uint8),
    "camera": {"intrinsics": np.stack([K] * B)},
}
BATCH["normal"] /= np.linalg.norm(BATCH["normal"], axis=-1, keepdims=True)
BATCH |= {f"{key}_valid": VALID for key in ("semantic", "depth", "normal", "edge")}
BATCH |= {"class": np.array([0, 2, 1]), "class_valid": np.array([True, True, False])}
DEPTH = RNG.uniform(1, 9, (B, S, H, W, 1)).astype(np.float32)
LOGITS = RNG.normal(size=(B, S, H, W, 4)).astype(np.float32)
TASKS = {
    "segment": (mtl.tasks.segment(num_classes=4), LOGITS),
    **{f"depth-{loss}": (mtl.tasks.depth(loss=loss), DEPTH) for loss in ("l1", "berhu", "silog", "silog_gradient")},
    "depth-virtual_normal": (mtl.tasks.depth(loss="virtual_normal"), DEPTH),
    "depth-l1+silog": (mtl.tasks.depth(loss="l1+silog"), DEPTH),
    "normals": (mtl.tasks.normals(), LOGITS[..., :3]),
    "edges": (mtl.tasks.edges(), LOGITS[..., :1]),
    "classify": (mtl.tasks.classify(num_classes=3, label="class"), LOGITS[:, 0, 0, 0, :3]),
}
every_task = pytest.mark.parametrize("name", TASKS)


@pytest.fixture(scope="module")
def measured():
    """name -> jitted (prediction, batch) -> (total, count), sums, gradient of total."""
    return {name: measures.measured(task) for name, (task, _) in TASKS.items()}


def images(values):
    """The valid values of each image that has any."""
    return [v[m] for v, m in zip(values.reshape(-1, H, W, 1), VALID.reshape(-1, H, W, 1), strict=True) if m.any()]


def softmax_entropy(logits, classes):
    shifted = logits - logits.max(-1, keepdims=True)
    return np.log(np.exp(shifted).sum(-1)) - np.take_along_axis(shifted, classes[..., None], -1)[..., 0]


def berhu(p, g):
    x = np.abs(p - g)
    c = 0.2 * x.max()
    return np.where(x <= c, x, (x**2 + c**2) / (2 * c)).mean()


def silog(p, g):
    e = np.log(p) - np.log(g)
    return np.mean(e**2) - 0.5 * np.mean(e) ** 2


def log_gradient():
    """The mean square of each image's log error's gradient, over pairs of valid pixels."""
    found = []
    for p, g, m in zip(*(x.reshape(-1, H, W) for x in (DEPTH, BATCH["depth"], VALID)), strict=True):
        if m.any():
            e = np.log(p) - np.log(g)
            down, right = m[1:] & m[:-1], m[:, 1:] & m[:, :-1]
            found.append(((e[1:] - e[:-1])[down] ** 2).mean() + ((e[:, 1:] - e[:, :-1])[right] ** 2).mean())
    return found


def balanced_entropy(logits, edge):
    share = edge.mean()
    p = 1 / (1 + np.exp(-logits))
    return -np.where(edge > 0, (1 - share) * np.log(p), share * np.log(1 - p)).mean()


def expected_loss(name):
    depths = list(zip(images(DEPTH), images(BATCH["depth"]), strict=True))
    by_image = {
        "depth-l1": lambda: [np.abs(p - g).mean() for p, g in depths],
        "depth-berhu": lambda: [berhu(p, g) for p, g in depths],
        "depth-silog": lambda: [silog(p, g) for p, g in depths],
        "depth-silog_gradient": lambda: np.add([silog(p, g) for p, g in depths], log_gradient()),
        "depth-l1+silog": lambda: [np.abs(p - g).mean() + silog(p, g) for p, g in depths],
        "edges": lambda: [
            balanced_entropy(x, y) for x, y in zip(images(LOGITS[..., :1]), images(BATCH["edge"]), strict=True)
        ],
    }
    if name in by_image:
        return np.sum(by_image[name]()), 5
    if name == "segment":
        return softmax_entropy(LOGITS, BATCH["semantic"][..., 0])[VALID[..., 0]].sum(), VALID.sum()
    if name == "classify":
        return softmax_entropy(TASKS[name][1], BATCH["class"])[:2].sum(), 2
    unit = LOGITS[..., :3] / np.linalg.norm(LOGITS[..., :3], axis=-1, keepdims=True)
    return (1 - (unit * BATCH["normal"]).sum(-1))[VALID[..., 0]].sum(), VALID.sum()


@pytest.mark.parametrize("name", [name for name in TASKS if name != "depth-virtual_normal"])
def test_loss_is_its_definition(measured, name):
    (total, count), _, _ = measured[name](TASKS[name][1], BATCH)
    wanted_total, wanted_count = expected_loss(name)
    np.testing.assert_allclose(total, wanted_total, rtol=1e-4)
    assert count == wanted_count


@every_task
def test_what_is_not_valid_never_matters(measured, name):
    prediction = TASKS[name][1]
    valid = BATCH["class_valid"][:, None] if name == "classify" else VALID
    spoiled = {
        k: np.where(BATCH[f"{k}_valid"], v, np.nan if v.dtype.kind == "f" else 99)
        for k, v in BATCH.items()
        if f"{k}_valid" in BATCH
    }
    clean = measured[name](prediction, BATCH)
    dirty = measured[name](np.where(valid, prediction, np.nan), BATCH | spoiled)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    gradient = np.broadcast_to(valid, prediction.shape)
    assert not np.asarray(clean[2])[~gradient].any()
    assert np.asarray(clean[2])[gradient].any()


@every_task
def test_losses_and_sums_add_over_parts_of_a_batch(measured, name):
    measures.add_over_examples(measured[name], TASKS[name][1], BATCH, atol=1e-5)


@every_task
def test_without_any_label_all_is_zero(measured, name):
    empty = BATCH | {k: np.zeros_like(v) for k, v in BATCH.items() if k.endswith("_valid")}
    measures.nothing_without_labels(measured[name], *TASKS[name], empty)


@every_task
def test_half_precision_predictions_are_measured_in_single(measured, name):
    task, prediction = TASKS[name][0], jnp.asarray(TASKS[name][1], jnp.bfloat16)
    (half, _), sums = jax.jit(lambda p: (task.loss(p, BATCH), task.sums(p, BATCH)))(prediction)
    (single, _), _, _ = measured[name](prediction.astype(jnp.float32), BATCH)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, single, rtol=1e-6)
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(sums))


@every_task
def test_the_constant_beats_other_constants(measured, name):
    """The baseline is the constant of least loss, for tasks whose primary figure the loss stands for."""
    task, prediction = TASKS[name]
    best = np.asarray(task.constant(BATCH), np.float32)

    @jax.jit
    def loss_of(constant):
        return task.loss(jnp.broadcast_to(constant, prediction.shape).astype(jnp.float32), BATCH)[0]

    if name in ("segment", "normals", "classify"):
        for step in np.random.default_rng(1).normal(size=(5, len(best))):
            assert loss_of(best) < loss_of(best + 0.3 * step)
    assert best.shape == (prediction.shape[-1],)


def test_virtual_normals_are_exact_for_the_truth_and_scale_free_but_not_shape_free():
    loss = jax.jit(TASKS["depth-virtual_normal"][0].loss)
    assert loss(BATCH["depth"], BATCH)[0] < 1e-5
    np.testing.assert_allclose(loss(2 * BATCH["depth"], BATCH)[0], 0, atol=1e-4)
    assert loss(DEPTH, BATCH)[0] > 1


def test_virtual_normals_are_drawn_anew_at_each_step_and_always_the_same_without_one():
    task = TASKS["depth-virtual_normal"][0]

    @jax.jit
    def seen(step):
        batch = BATCH | ({} if step is None else {"step": jnp.full(B, step)})
        return jax.grad(lambda p: task.loss(p, batch)[0])(DEPTH)

    alone = np.asarray(seen(None))
    np.testing.assert_array_equal(alone, seen(None))
    steps = [np.asarray(seen(step)) != 0 for step in range(60)]
    known = VALID & VALID.any(axis=(2, 3, 4), keepdims=True)
    assert np.mean(steps[0][known]) < 0.5
    assert np.mean(np.any(steps, axis=0)[known]) > 0.95
    assert not np.any(steps, axis=0)[~VALID].any()


def test_virtual_normals_need_the_camera():
    with pytest.raises(ValueError, match="virtual_normal reads camera intrinsics"):
        TASKS["depth-virtual_normal"][0].loss(DEPTH, {k: v for k, v in BATCH.items() if k != "camera"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mtl.tasks.depth(loss="l2"), r"unknown depth loss 'l2'; did you mean 'l1'"),
        (lambda: mtl.tasks.segment(num_classes=1), r"num_classes=1.*at least 2"),
        (lambda: mtl.tasks.classify(num_classes=0, label="x"), r"num_classes=0.*at least 2"),
        (
            lambda: mtl.tasks.depth().loss(DEPTH, BATCH | {"depth_valid": VALID[..., 0]}),
            r"depth_valid has shape \(3, 2, 6, 8\); expected \(3, 2, 6, 8, 1\)",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
