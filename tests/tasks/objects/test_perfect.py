"""The tasks of objects on predictions made of labels: of the truth every figure is the best there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.objects.frames import PIXELS
from mtljax.tasks.objects.rows import objects_of
from mtljax.train.run.evaluate import Accumulator
from tests.tasks.objects import truth

TASKS = {
    "detect": mtl.tasks.detect(slots=truth.SLOTS, stride=1),
    "instances": mtl.tasks.instances(stride=1),
    "pose": mtl.tasks.pose(stride=1),
    "track": mtl.tasks.track(stride=1),
    "trajectory": mtl.tasks.trajectory(stride=1, history=truth.HISTORY, steps=truth.STEPS),
}
BEST = {
    "detect": {"AP": 1, "AP50_any": 1, "AR100": 1},
    "instances": {"AP": 1, "PQ": 1, "SQ": 1, "RQ": 1},
    "pose": {"ADD_S": 1, "ADD": 1, "found": 1, "metres": 0, "degrees": 0},
    "track": {"HOTA": 1, "MOTA": 1, "IDF1": 1, "IDSW": 0, "FP": 0, "FN": 0},
    "trajectory": {"ADE": 0, "FDE": 0, "minADE_3": 0, "miss_3": 0, "followed": 1},
}


@pytest.fixture(scope="module")
def decoded():
    """What each task decodes of perfect predictions, NumPy."""

    def all_of(predictions, batch):
        return {name: TASKS[name].decode(predictions[name], batch) for name in TASKS}

    return jax.tree.map(np.asarray, jax.jit(all_of)(truth.perfect(), truth.batch()))


def figures(name, prediction, batch=None):
    found = Accumulator({name: TASKS[name]})
    found.add({name: {"total": 0.0, "count": 0.0, "sums": {}}}, {name: prediction}, batch or truth.batch())
    return {key.removeprefix(f"{name}/"): value for key, value in found.figures().items()}


@pytest.mark.parametrize("name", TASKS)
def test_of_the_truth_every_figure_is_the_best(decoded, name):
    found = figures(name, decoded[name])
    assert {key: found[key] for key in BEST[name]} == pytest.approx(BEST[name], abs=2e-4)


def test_degrees_are_of_objects_whose_turn_an_image_shows(decoded):
    """A sphere looks the same however it is turned: it would flatter the median."""
    upright = {**decoded["pose"], "rotation": np.broadcast_to(np.eye(3), decoded["pose"]["rotation"].shape)}
    rows, objects = TASKS["pose"].host_rows(upright, truth.batch())["errors"], objects_of(truth.batch(), PIXELS)
    known, category = ~np.isnan(rows["degrees_symmetric"]), objects.category[objects.counts]
    assert (rows["degrees_symmetric"][known & (category == 0)] < 1e-3).all()
    wanted = np.median(rows["degrees_symmetric"][known & (category > 0)])
    found = figures("pose", upright)
    assert found["degrees"] == pytest.approx(wanted)
    assert np.median(rows["degrees_symmetric"][known]) < wanted - 0.5


@pytest.mark.parametrize("name", sorted({*TASKS} - {"track"}))
def test_a_baseline_is_worse_than_the_truth(decoded, name):
    task = TASKS[name]
    labels = {key: value for key, value in truth.batch().items() if key != "place"}
    found = figures(name, task.baseline(labels)(decoded, truth.batch()))
    better = max if task.primary.higher_is_better else min
    best, own = BEST[name][task.primary.name], found[task.primary.name]
    assert own != pytest.approx(best, abs=1e-3)
    assert better(best, own) == best, found


@pytest.mark.parametrize("name", TASKS)
def test_what_is_not_finite_makes_every_figure_nan(decoded, name):
    broken = dict(decoded[name])
    broken["score"] = np.where(np.arange(truth.SLOTS) == 2, np.nan, broken["score"])
    found = figures(name, broken)
    assert all(np.isnan(found[metric.name]) for metric in TASKS[name].metrics), found


@pytest.mark.parametrize("name", TASKS)
def test_without_an_object_figures_are_nan_and_nothing_fails(decoded, name):
    batch = {**truth.batch(), "instances_valid": np.zeros_like(truth.batch()["instances_valid"])}
    found = figures(name, decoded[name], batch)
    assert np.isnan(found[TASKS[name].primary.name])


def test_more_objects_in_a_frame_than_slots_are_told():
    batch = truth.batch()
    most = int(objects_of(batch, PIXELS).counts.sum(axis=-1).max())
    assert most > 1
    for detect in (mtl.tasks.detect(slots=most), mtl.tasks.detect(head=mtl.heads.Detect(slots=most), slots=1)):
        assert detect.check(batch) is None
    told = mtl.tasks.detect(slots=most - 1).check(batch)
    assert told.startswith(f"there are {most} objects in a frame, and {most - 1} slots are read from one")
    ignored = {**batch["instances"], "ignored": np.ones(batch["instances"]["bboxes"].shape[:3], bool)}
    assert mtl.tasks.detect(slots=1).check({**batch, "instances": ignored}) is None


@pytest.mark.parametrize("name", TASKS)
def test_rows_are_of_the_same_types_with_and_without_objects(decoded, name):
    """Hosts join their rows, and one of them may have seen no object."""
    empty = {**truth.batch(), "instances_valid": np.zeros_like(truth.batch()["instances_valid"])}

    def forms(batch):
        found = TASKS[name].host_rows(decoded[name], batch)
        return jax.tree.map(lambda column: (column.dtype, column.shape[1:]), found)

    assert forms(empty) == forms(truth.batch())


@pytest.mark.parametrize("name", TASKS)
def test_slots_in_another_order_change_nothing(decoded, name):
    order = np.random.default_rng(0).permutation(truth.SLOTS)
    turned = {key: x if key == "ids" and name == "instances" else x[:, :, order] for key, x in decoded[name].items()}
    if name == "instances":
        turned["ids"] = np.append(0, 1 + np.argsort(order))[decoded[name]["ids"]]
    before, after = figures(name, decoded[name]), figures(name, turned)
    assert after == pytest.approx(before, nan_ok=True, abs=1e-9)


def test_losses_are_finite_and_least_at_the_truth():
    def losses(predictions):
        pairs = {name: task.loss(predictions[name], truth.batch()) for name, task in TASKS.items()}
        return {name: total / count for name, (total, count) in pairs.items()}

    def off(x):
        return x + 0.3 if jnp.issubdtype(x.dtype, jnp.floating) else x

    other = {
        name: {key: x if key == "detections" else off(x) for key, x in own.items()}
        for name, own in truth.perfect().items()
    }
    compiled = jax.jit(losses)
    at_truth, beside = compiled(truth.perfect()), compiled(other)
    assert np.isfinite([*at_truth.values(), *beside.values()]).all()
    assert {name for name in TASKS if at_truth[name] < beside[name]} == {*TASKS}


@pytest.mark.parametrize("name", TASKS)
def test_pictures_show_what_was_found(decoded, name):
    pictures = TASKS[name].draw(decoded[name], truth.batch())
    assert all(p.shape[:2] == (truth.CLIPS, truth.FRAMES) and p.dtype == np.uint8 for p in pictures)
    nothing = {**decoded[name], "score": np.zeros_like(decoded[name]["score"])}
    nothing["ids"] = np.zeros_like(decoded[name].get("ids", np.zeros(1, int)))
    at = TASKS[name].drawn_frame
    assert (pictures[0][:, at] != TASKS[name].draw(nothing, truth.batch())[0][:, at]).any()


def test_futures_that_nobody_knows_are_not_judged(decoded):
    """Whole clips have the label too, with nothing known behind them."""
    behind = {
        "future": np.zeros((truth.CLIPS, 10, 8, 2), np.float32),
        "future_valid": np.zeros((truth.CLIPS, 10, 8, 1), bool),
    }
    found = TASKS["trajectory"].host_rows(decoded["trajectory"], {**truth.batch(), **behind})
    assert set(found["wanted"]["frame"]) == {truth.HISTORY - 1}
    assert figures("trajectory", decoded["trajectory"], {**truth.batch(), **behind})["FDE"] == pytest.approx(
        0, abs=2e-4
    )


def test_a_clip_of_boxes_alone_is_not_judged_by_its_masks(decoded):
    maps = truth.batch()["segmentations"] * np.array([1, 0], np.uint8).reshape(2, 1, 1, 1, 1)
    both = {**truth.batch(), "segmentations": maps}
    found = figures("instances", decoded["instances"], both)
    assert {key: found[key] for key in BEST["instances"]} == pytest.approx(BEST["instances"], abs=2e-4)
    rows = TASKS["instances"].host_rows(decoded["instances"], both)
    assert [set(rows[name]["place"]) for name in ("truth", "found", "panoptic")] == [{0}] * 3


def test_faults_are_told():
    batch = truth.batch()
    instances = {**batch["instances"], "category": np.full_like(batch["instances"]["category"], 7)}
    with pytest.raises(UserError, match=r"category 7 in 'instances' .*; detect\(classes=4\) has 1 to 4"):
        TASKS["detect"].check({**batch, "instances": instances})
    single = {**batch, "image": batch["image"][:, :1]}
    with pytest.raises(UserError, match="track wants clips of at least 2 frames; the data has 1"):
        TASKS["track"].fits({}, single)
    with pytest.raises(UserError, match="trajectory wants clips of at least 7 frames, history=3 and steps=4"):
        TASKS["trajectory"].fits({}, single)
    nothing = np.zeros((truth.CLIPS, 10, 8, 2)), np.zeros((truth.CLIPS, 10, 8, 1), bool)
    short = {
        **batch,
        "image": batch["image"][:, :2],
        "future": nothing[0],
        "future_valid": nothing[1],
    }  # as a whole clip has them
    with pytest.raises(UserError, match="history=3 and steps=4, or the label 'future' behind them; the data has 2"):
        TASKS["trajectory"].check(short)
    TASKS["trajectory"].check({**short, "future_valid": ~nothing[1]})
    seen = mtl.tasks.trajectory(space="image", pose=None, history=3, steps=4)
    with pytest.raises(UserError, match="history=3 and steps=4; the data has 2"):
        seen.check({**short, "future_valid": ~nothing[1]})
    placeless = {key: x for key, x in batch["instances"].items() if key != "positions"}
    with pytest.raises(UserError, match=r"trajectory.space='world'. reads 'positions' of 'instances', which has"):
        TASKS["trajectory"].fits({}, {**batch, "instances": placeless})
    with pytest.raises(UserError, match="pose wants a camera"):
        TASKS["pose"].fits({}, {key: x for key, x in batch.items() if key != "camera"})
    with pytest.raises(UserError, match="unknown solid of pose: 'cyl"):
        mtl.tasks.pose(solids=("cylindre",))
