"""Metrics against plain NumPy transcriptions."""

import jax
import numpy as np
from jax.sharding import AxisType, PartitionSpec

import mtljax as mtl
from mtljax.tasks.metrics.thinning import thin
from tests.tasks.losses.test_losses import BATCH, DEPTH, LOGITS, TASKS, VALID, B, H, W, images
from tests.tasks.scene import test_ego_motion, test_flow, test_keypoints
from tests.tasks.values import test_regress, test_tags


def figures(task, prediction, batch=BATCH):
    sums = {k: np.asarray(v, np.float64) for k, v in jax.jit(task.sums)(prediction, batch).items()}
    if task.host_sums:
        sums |= task.host_sums(np.asarray(prediction), batch)
    return {metric.name: metric.value(sums) for metric in task.metrics}


def test_segmentation():
    found = figures(mtl.tasks.segment(num_classes=6), np.concatenate([LOGITS, LOGITS[..., :2] - 9], -1))
    p, g = LOGITS.argmax(-1)[VALID[..., 0]], BATCH["semantic"][VALID]
    ious = [((p == c) & (g == c)).sum() / ((p == c) | (g == c)).sum() for c in range(4)]  # 4 and 5 are in neither
    np.testing.assert_allclose(found["mIoU"], np.mean(ious), rtol=1e-6)
    np.testing.assert_allclose(found["pixel_accuracy"], np.mean(p == g), rtol=1e-6)


def test_segmentation_of_one_class_and_of_nothing():
    task, one = mtl.tasks.segment(num_classes=4), BATCH | {"semantic": np.full_like(BATCH["semantic"], 2)}
    right = np.eye(4, dtype=np.float32)[one["semantic"][..., 0]]
    assert figures(task, right, one) == {"mIoU": 1, "pixel_accuracy": 1}
    assert figures(task, np.roll(right, 1, axis=-1), one) == {"mIoU": 0, "pixel_accuracy": 0}
    p = LOGITS.argmax(-1)[VALID[..., 0]]
    found = figures(task, LOGITS, one)
    np.testing.assert_allclose(found["pixel_accuracy"], np.mean(p == 2))
    np.testing.assert_allclose(found["mIoU"], np.mean(p == 2) / 4)  # the others are predicted and never right
    for ignored in (255, 4, -1):
        nothing = BATCH | {"semantic": np.full_like(BATCH["semantic"], ignored)}
        assert np.isnan([*figures(task, LOGITS, nothing).values()]).all()
        assert task.loss(LOGITS, nothing) == (0, 0)


def test_segmentation_ignores_what_has_no_meaning():
    ignored = np.where(np.random.default_rng(0).random(BATCH["semantic"].shape) < 0.3, 255, BATCH["semantic"])
    found = figures(mtl.tasks.segment(num_classes=4), LOGITS, BATCH | {"semantic": ignored})
    known = VALID & (ignored != 255)
    np.testing.assert_allclose(found["pixel_accuracy"], np.mean(LOGITS.argmax(-1)[..., None][known] == ignored[known]))


def test_depth():
    found = figures(mtl.tasks.depth(), DEPTH)
    p, g = DEPTH[VALID].astype(np.float64), BATCH["depth"][VALID].astype(np.float64)
    ratio = np.maximum(p / g, g / p)
    spread = [np.std(np.log(a) - np.log(b)) for a, b in zip(images(DEPTH), images(BATCH["depth"]), strict=True)]
    wanted = {
        "AbsErr": np.mean(np.abs(p - g)),
        "AbsRel": np.mean(np.abs(p - g) / g),
        "SqRel": np.mean((p - g) ** 2 / g),
        "RMSE": np.sqrt(np.mean((p - g) ** 2)),
        "RMSElog": np.sqrt(np.mean((np.log(p) - np.log(g)) ** 2)),
        "log10": np.mean(np.abs(np.log10(p) - np.log10(g))),
        **{f"delta{k}": np.mean(ratio < 1.25**k) for k in (1, 2, 3)},
        "SILog": 100 * np.mean(spread),
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def test_depth_of_the_truth_of_one_pixel_and_of_nothing():
    task = mtl.tasks.depth()
    perfect = figures(task, BATCH["depth"])
    shares = {"delta1", "delta2", "delta3"}
    assert perfect == {name: float(name in shares) for name in perfect}
    one = np.zeros_like(VALID)
    one[2, 0, 3, 4] = True
    p, g = DEPTH[one].item(), BATCH["depth"][one].item()
    found = figures(task, DEPTH, BATCH | {"depth_valid": one})
    np.testing.assert_allclose([found["AbsErr"], found["RMSE"]], abs(p - g), rtol=1e-5)
    assert found["SILog"] == 0
    for unknown in (0.0, -1.0):  # a label that is valid, and no depth
        nothing = BATCH | {"depth": np.full_like(BATCH["depth"], unknown)}
        for scaled in (False, True):
            assert np.isnan([*figures(mtl.tasks.depth(median_scaling=scaled), DEPTH, nothing).values()]).all()
    below = figures(task, np.full_like(DEPTH, -1.0))  # counts as 1 mm
    np.testing.assert_allclose(below["AbsErr"], np.mean(BATCH["depth"][VALID] - 1e-3), rtol=1e-5)
    assert np.isfinite([*below.values()]).all()


def test_median_scaling_is_only_when_asked_for_and_says_so():
    plain = figures(mtl.tasks.depth(), 3 * BATCH["depth"])
    scaled = figures(mtl.tasks.depth(median_scaling=True), 3 * BATCH["depth"])
    assert plain["AbsRel"] > 1
    assert scaled["AbsRel_median_scaled"] < 1e-5
    assert all(name.endswith("_median_scaled") for name in scaled)


def test_normals():
    found = figures(mtl.tasks.normals(), LOGITS[..., :3])
    unit = LOGITS[..., :3] / np.linalg.norm(LOGITS[..., :3], axis=-1, keepdims=True)
    cosine = np.clip((unit * BATCH["normal"]).sum(-1)[VALID[..., 0]], -1, 1)
    angle = np.degrees(np.arccos(cosine))
    np.testing.assert_allclose(found["mean_angle"], angle.mean(), rtol=1e-5)
    low, high = np.quantile(angle, [0.5 - 1 / len(angle), 0.5 + 1 / len(angle)])
    assert low - 0.05 <= found["median_angle"] <= high + 0.05
    for t in (11.25, 22.5, 30.0):
        np.testing.assert_allclose(found[f"within_{t}"], np.mean(angle < t), rtol=1e-6)


def test_normals_that_are_right_opposite_or_nothing():
    task = mtl.tasks.normals()
    names = ("mean_angle", "median_angle", "within_11.25", "within_22.5", "within_30.0")
    for factor, wanted in ((3, (0, 0, 1, 1, 1)), (-1, (180, 180, 0, 0, 0))):
        found = figures(task, factor * BATCH["normal"])
        np.testing.assert_allclose([found[name] for name in names], wanted, atol=0.05)
    assert np.isfinite([*figures(task, np.zeros_like(BATCH["normal"])).values()]).all()
    nothing = BATCH | {"normal_valid": np.zeros_like(VALID)}
    assert np.isnan([*figures(task, BATCH["normal"], nothing).values()]).all()


def test_small_angles_are_exact():
    tilted = np.array([np.sin(1e-3), 0, -np.cos(1e-3)], np.float32)
    batch = {"normal": np.full((1, 1, 2, 2, 3), [0, 0, -1], np.float32), "normal_valid": np.ones((1, 1, 2, 2, 1), bool)}
    found = figures(mtl.tasks.normals(), np.broadcast_to(tilted, (1, 1, 2, 2, 3)), batch)
    np.testing.assert_allclose(found["mean_angle"], np.degrees(1e-3), rtol=1e-3)


def test_classification():
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(40, 20)).astype(np.float32), rng.integers(0, 20, 40)
    valid = rng.random(40) < 0.8
    found = figures(mtl.tasks.classify(num_classes=20, label="y"), logits, {"y": classes, "y_valid": valid})
    order = np.argsort(-logits, axis=1)
    np.testing.assert_allclose(found["accuracy"], np.mean(order[valid, 0] == classes[valid]))
    np.testing.assert_allclose(found["top5"], np.mean((order[valid, :5] == classes[valid, None]).any(1)))


def test_thinning_leaves_a_ridge_one_pixel_wide():
    y, x = np.indices((30, 40))
    for angle in (0, 30, 45, 90, 120):
        a = np.radians(angle)
        across = (x - 20) * np.cos(a) + (y - 15) * np.sin(a)
        thinned = thin(np.exp(-((across / 2) ** 2))[None])[0] > 0.3
        inner = thinned[6:-6, 6:-6]
        assert np.abs(across[6:-6, 6:-6][inner]).max() < 1
        length = max(inner.any(0).sum(), inner.any(1).sum())
        assert length <= inner.sum() <= 1.6 * length


def test_edges_found_are_rewarded_and_those_elsewhere_are_not():
    task = mtl.tasks.edges()
    truth = np.zeros((1, 1, 40, 40, 1), np.uint8)
    truth[:, :, :, 20] = 1
    batch = {"edge": truth, "edge_valid": np.ones(truth.shape, bool)}
    logits = np.where(truth > 0, 5.0, -8.0).astype(np.float32)
    perfect = figures(task, logits, batch)
    assert perfect["ODS_F"] == perfect["OIS_F"] == 1
    assert perfect["AP"] > 0.99
    for away, f_measure in ((0, 1), (1, 0)):  # 0.0075 of the diagonal are 0.42 pixels
        moved = figures(task, np.roll(logits, away, axis=3), batch)
        assert moved["ODS_F"] == f_measure
    half = np.where(np.arange(40)[:, None, None] < 20, logits, -8)
    np.testing.assert_allclose(figures(task, half, batch)["ODS_F"], 2 / 3, rtol=0.03)


def test_edges_where_there_are_none_and_nothing_known():
    task = mtl.tasks.edges()
    for change in ({"edge": np.zeros_like(BATCH["edge"])}, {"edge_valid": np.zeros_like(VALID)}):
        assert np.isnan([*figures(task, LOGITS[..., :1], BATCH | change).values()]).all()
    silent = figures(task, np.full_like(LOGITS[..., :1], -60))
    assert silent == {"ODS_F": 0, "OIS_F": 0, "AP": 0}
    everywhere = figures(task, np.full_like(LOGITS[..., :1], 60))  # a plateau, of which lines are left
    assert 0 < everywhere["ODS_F"] < 0.5


def test_edge_figures_are_the_same_over_any_split():
    task, logits = mtl.tasks.edges(), LOGITS[..., :1]
    whole = task.host_sums(logits, BATCH)
    parts = [task.host_sums(logits[i : i + 1], jax.tree.map(lambda x, i=i: x[i : i + 1], BATCH)) for i in range(B)]
    jax.tree.map(lambda a, *b: np.testing.assert_allclose(a, sum(b)), whole, *parts)
    spoiled = BATCH | {"edge": np.where(VALID, BATCH["edge"], 99).astype(np.uint8)}
    jax.tree.map(np.testing.assert_array_equal, whole, task.host_sums(np.where(VALID, logits, np.nan), spoiled))


def test_figures_are_the_same_over_any_number_of_devices():
    measured = {name: (task, prediction, BATCH) for name, (task, prediction) in TASKS.items()}
    measured["flow"] = (test_flow.TASK, test_flow.PREDICTION, test_flow.BATCH)
    measured["ego_motion"] = (test_ego_motion.TASK, test_ego_motion.PREDICTION, test_ego_motion.BATCH)
    measured["keypoints"] = (test_keypoints.TASK, test_keypoints.PREDICTION, test_keypoints.BATCH)
    measured["tags"] = (test_tags.TASK, test_tags.LOGITS, test_tags.BATCH)
    measured["regress"] = (test_regress.TASKS["gaussian"], test_regress.PREDICTIONS["gaussian"], test_regress.BATCH)
    # Sums over devices, of which figures are made, and losses.
    tasks = {name: task for name, (task, _, _) in measured.items() if name != "edges" and "+" not in name}
    eight = np.arange(8) % B
    inputs = {name: jax.tree.map(lambda x: x[eight], measured[name][1:]) for name in tasks}
    figured = [
        name for name in tasks if not name.startswith("depth-") or name == "depth-l1"
    ]  # those of one loss are of all

    def sums(inputs):
        losses = {name: tasks[name].loss(*inputs[name]) for name in tasks}
        return losses, {name: tasks[name].sums(*inputs[name]) for name in figured}

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.shard_map(
        lambda x: jax.lax.psum(sums(x), "data"), mesh=mesh, in_specs=PartitionSpec("data"), out_specs=PartitionSpec()
    )
    (losses, one), (losses_of_devices, many) = (
        jax.tree.map(np.asarray, f(inputs)) for f in map(jax.jit, (sums, spread))
    )
    for name in tasks:
        np.testing.assert_allclose(losses_of_devices[name], losses[name], rtol=1e-5, err_msg=name)
    for name in figured:
        task, alone, together = tasks[name], one[name], many[name]
        on_host = task.host_sums(*inputs[name]) if task.host_sums else {}
        for metric in task.metrics:
            value = metric.value(alone | on_host)
            assert np.isfinite(value)
            np.testing.assert_allclose(
                metric.value(together | on_host), value, rtol=1e-5, err_msg=f"{name} {metric.name}"
            )


def test_best_threshold_of_the_set_and_of_each_image_differ():
    task = mtl.tasks.edges()
    truth = np.zeros((2, 1, 40, 40, 1), np.uint8)
    truth[:, :, :, 20] = 1
    logits = np.full(truth.shape, -8.0, np.float32)
    logits[0, :, :, 20], logits[0, :, :, 5] = 3.0, 0.0  # cut above 0.5 here,
    logits[1, :, :, 20] = -2.0  # below it here
    batch = {"edge": truth, "edge_valid": np.ones(truth.shape, bool)}
    found = figures(task, logits, batch)
    assert found["OIS_F"] == 1
    np.testing.assert_allclose(found["ODS_F"], 2 * 80 / (120 + 80), rtol=1e-6)


def test_pictures_have_the_shape_of_images():
    for task, prediction in ((mtl.tasks.segment(num_classes=4), LOGITS), (mtl.tasks.depth(), DEPTH)):
        for picture in task.draw(prediction, BATCH):
            assert picture.shape == (3, 2, H, W, 3)
            assert picture.dtype == np.uint8
    for task, channels in ((mtl.tasks.normals(), 3), (mtl.tasks.edges(), 1)):
        for picture in task.draw(LOGITS[..., :channels], BATCH):
            assert picture.shape == (3, 2, H, W, 3)
            assert picture.dtype == np.uint8
