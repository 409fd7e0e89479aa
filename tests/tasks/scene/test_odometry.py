"""Odometry: the loss, and figures of whole sequences that do not depend on how clips and batches cut them."""

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax import geometry
from mtljax.errors import UserError
from mtljax.geometry import trajectories
from mtljax.tasks.drawing.path import draw_paths
from mtljax.train.run.evaluate import Accumulator, evaluate_constant

RNG = np.random.default_rng(0)
S = 4  # frames of a clip
STARTS = {3: 220, 240: 131}  # first place of each sequence -> its number of frames
TASK = mtl.tasks.odometry(longest=400)


def drive(pairs):
    motions = np.zeros((pairs, 6), np.float32)
    motions[:, 2] = RNG.uniform(0.5, 1.5, pairs)
    motions[:, 3:] = RNG.normal(0, [0.005, 0.03, 0.005], (pairs, 3))
    return motions


TRUE = {start: drive(frames - 1) for start, frames in STARTS.items()}


def clips(stride):
    """Clips of both sequences, every `stride` frames and up to the last one: a batch, and a prediction for it."""
    rows = []
    for start, frames in STARTS.items():
        padded = np.concatenate([TRUE[start], np.full((1, 6), np.nan, np.float32)])
        firsts = [*range(0, frames - S, stride), frames - S]
        rows += [(start + i + np.arange(S), padded[i : i + S]) for i in firsts]
    index, motion = (np.stack(x) for x in zip(*rows, strict=True))
    has_next = np.broadcast_to(np.arange(S) < S - 1, index.shape)
    batch = {
        "frame_index": index.astype(np.int32),
        "frame_index_valid": np.ones(index.shape, bool),
        "ego_motion": np.where(has_next[..., None], motion, np.nan),
        "ego_motion_valid": has_next[..., None],
        "image": np.zeros((*index.shape, 16, 24, 3), np.float32),
    }
    noise = np.random.default_rng(1).normal(0, [0.05] * 3 + [0.002] * 3, motion.shape)
    prediction = np.where(has_next[..., None], 0.9 * batch["ego_motion"] + noise, np.nan).astype(np.float32)
    return batch, prediction


OVERLAPPING = clips(stride=2)  # two pairs of three are shown twice or more


def figures(parts, task=TASK):
    found = Accumulator({"odometry": task})
    for batch, prediction in parts:
        measured = {"total": 0.0, "count": 0.0, "sums": task.sums(prediction, batch)}
        found.add({"odometry": measured}, {"odometry": prediction}, batch)
    return {key.removeprefix("odometry/"): value for key, value in found.figures().items() if not key.endswith("loss")}


def cut(batch, prediction, order, size):
    """The examples in an order, in batches of a size."""
    for i in range(0, len(order), size):
        chosen = order[i : i + size]
        yield {key: value[chosen] for key, value in batch.items()}, prediction[chosen]


def whole(batch, prediction):
    """The estimated and the true trajectory of each sequence, put together pair by pair."""
    said = {}
    for clip, places in enumerate(batch["frame_index"]):
        for t in range(S - 1):
            said.setdefault(int(places[t]), []).append(prediction[clip, t].astype(np.float64))
    for start, frames in STARTS.items():
        mean = [np.mean(said[place], axis=0) for place in range(start, start + frames - 1)]
        yield geometry.chain(mean), geometry.chain(TRUE[start])


def expected(pairs, scaled=False):
    pairs = list(pairs)
    poses = [len(g) for _, g in pairs]
    metric = [(geometry.align(p, g, scale=True), g) for p, g in pairs] if scaled else pairs
    steps = [geometry.rpe(p, g) for p, g in metric]
    segments = [trajectories.segment_errors(p, g) for p, g in metric]
    snippets = [geometry.snippet_ate(p, g)[0] for p, g in pairs]

    def ate(alignment):
        return np.sqrt(np.average([geometry.ate(p, g, alignment) ** 2 for p, g in pairs], weights=poses))

    suffix = "_sim3" if scaled else ""
    return {
        "ATE": ate("se3"),
        "ATE_sim3": ate("sim3"),
        f"RPE_translation{suffix}": np.average([x[0] for x in steps], weights=np.array(poses) - 1),
        "RPE_rotation": np.average([x[1] for x in steps], weights=np.array(poses) - 1),
        f"t_rel{suffix}": np.concatenate([x[0] for x in segments]).mean(),
        "r_rel": np.concatenate([x[1] for x in segments]).mean(),
        "snippet_ATE": np.average(snippets, weights=np.array(poses) - 4),
    }


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_figures_are_those_of_whole_trajectories_over_any_split(size):
    batch, prediction = OVERLAPPING
    order = np.random.default_rng(size).permutation(len(prediction))
    found, wanted = figures(cut(batch, prediction, order, size)), expected(whole(batch, prediction))
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-9, err_msg=key)


def test_up_to_scale_the_scale_does_not_matter_and_names_say_so():
    batch, prediction = OVERLAPPING
    task = mtl.tasks.odometry(longest=400, up_to_scale=True)
    assert task.primary.name == "ATE_sim3"
    found, wanted = figures([(batch, prediction)], task), expected(whole(batch, prediction), scaled=True)
    assert found.keys() == wanted.keys()
    large = figures([(batch, prediction * np.float32([8, 8, 8, 1, 1, 1]))], task)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-9, err_msg=key)
        if key != "ATE":
            np.testing.assert_allclose(large[key], value, rtol=1e-4, err_msg=key)


def test_clips_that_share_no_frame_are_sequences_of_their_own():
    batch, _ = clips(stride=S)
    batch = {key: value[:-1] for key, value in batch.items()}  # the last begins before the one before it ends
    prediction = batch["ego_motion"] * np.float32([2, 2, 2, 1, 1, 1])
    found = figures([(batch, prediction)])
    pairs = [
        (geometry.chain(p[:3]), geometry.chain(g[:3])) for p, g in zip(prediction, batch["ego_motion"], strict=True)
    ]
    each = [geometry.ate(p, g, "se3") for p, g in pairs]
    np.testing.assert_allclose(found["ATE"], np.sqrt(np.mean(np.square(each))), rtol=1e-9)
    assert found["ATE_sim3"] < 1e-6 < found["ATE"]
    assert np.isnan([found["t_rel"], found["r_rel"], found["snippet_ATE"]]).all()


def test_the_truth_has_no_error_and_a_still_camera_is_the_baseline():
    batch, _ = OVERLAPPING
    assert max(figures([(batch, batch["ego_motion"])]).values()) < 1e-6
    still = evaluate_constant(batch, [batch], {"odometry": TASK}, {"odometry": batch["ego_motion"].shape})
    squares = [np.sum((x - x.mean(axis=0)) ** 2) for x in (geometry.chain(m)[:, :3, 3] for m in TRUE.values())]
    np.testing.assert_allclose(still["odometry/ATE"], np.sqrt(sum(squares) / sum(STARTS.values())))
    np.testing.assert_allclose(still["odometry/t_rel"], 100, atol=25)
    assert not any(metric.higher_is_better for metric in TASK.metrics)


def test_what_is_not_valid_never_matters():
    batch, prediction = OVERLAPPING
    hidden = np.random.default_rng(2).random(len(prediction)) < 0.2
    spoiled = batch | {
        "frame_index": np.where(hidden[:, None], 10**6, batch["frame_index"]),
        "frame_index_valid": batch["frame_index_valid"] & ~hidden[:, None],
        "ego_motion_valid": batch["ego_motion_valid"] & ~hidden[:, None, None],
    }
    left = {key: value[~hidden] for key, value in batch.items()}
    dirty = figures([(spoiled, np.where(hidden[:, None, None], np.nan, prediction))])
    np.testing.assert_equal(dirty, figures([(left, prediction[~hidden])]))
    total = jax.jit(TASK.loss)
    np.testing.assert_allclose(total(prediction, spoiled), total(prediction[~hidden], left), rtol=1e-6)


def test_without_labels_and_for_a_diverged_model_there_is_no_figure():
    batch, prediction = OVERLAPPING
    for unlabelled in ("ego_motion_valid", "frame_index_valid"):
        empty = batch | {unlabelled: np.zeros_like(batch[unlabelled])}
        assert np.isnan([*figures([(empty, prediction)]).values()]).all()
    for wrong in (np.nan, np.inf):
        assert np.isnan([*figures([(batch, np.full_like(prediction, wrong))]).values()]).all()


def test_the_loss_is_its_definition():
    batch, prediction = OVERLAPPING
    task = mtl.tasks.odometry(beta=3.0)
    (total, count), gradient = jax.jit(lambda p: (task.loss(p, batch), jax.grad(lambda p: task.loss(p, batch)[0])(p)))(
        prediction
    )
    error = np.abs(prediction - batch["ego_motion"])[:, :-1]
    np.testing.assert_allclose(total, error[..., :3].sum() + 3 * error[..., 3:].sum(), rtol=1e-5)
    assert count == error[..., 0].size
    assert not np.asarray(gradient)[:, -1].any()
    np.testing.assert_allclose(np.abs(gradient[:, :-1]), np.broadcast_to([1.0] * 3 + [3.0] * 3, error.shape))
    nothing = batch | {"ego_motion_valid": np.zeros_like(batch["ego_motion_valid"])}
    assert task.loss(prediction, nothing) == (0, 0)


def test_the_head_is_that_of_ego_motion():
    """Which looks at a frame and the next; its own tests show that."""
    assert mtl.tasks.odometry(width=8).head == mtl.tasks.ego_motion(width=8).head == mtl.heads.EgoMotion(width=8)


def test_pictures_show_both_paths_from_the_same_start():
    batch, prediction = clips(stride=60)
    estimated, true = TASK.draw(prediction, batch)
    for picture in (estimated, true):
        assert (picture.shape, picture.dtype) == (batch["image"].shape, np.uint8)
    colours = [{tuple(c) for c in x[0, 0].reshape(-1, 3)} for x in (estimated, true)]
    assert colours == [{(0, 0, 0), (255, 255, 255), (255, 140, 0)}, {(0, 0, 0), (255, 255, 255)}]
    TASK.draw(np.full_like(prediction, np.inf), batch)
    unknown = TASK.draw(prediction, batch | {"ego_motion_valid": np.zeros_like(batch["ego_motion_valid"])})[1]
    assert (unknown[0, 0].any(axis=-1)).sum() == 9  # a dot: where it starts


def test_a_path_is_drawn_to_the_right_and_forwards_at_one_scale():
    path = np.array([[0, 0, 0], [0, 5, 4], [2, 5, 4]], float)  # forwards, then half as far to the right
    drawn = draw_paths([path], [(9, 9, 9)], size=(41, 41))[..., 0] > 0
    rows, columns = np.flatnonzero(drawn[:, 4:].any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert abs(rows.size - 2 * columns.size) < 4
    assert drawn[rows[0] + 1, columns[-1] - 1]  # the end: above on the right
    assert not drawn[rows[-1], columns[-1]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mtl.tasks.odometry(longest=1), r"longest=1.*at least 2"),
        (lambda: mtl.tasks.odometry(beta=-1), r"beta=-1.*at least 0"),
        (lambda: figures([OVERLAPPING], mtl.tasks.odometry(longest=300)), r"longest=300.*holds 369; expected 0 to 299"),
        (
            lambda: figures([({**OVERLAPPING[0], "frame_index": OVERLAPPING[0]["frame_index"] - 9}, OVERLAPPING[1])]),
            "holds -6",
        ),
        (
            lambda: figures([({**OVERLAPPING[0], "frame_index": 2 * OVERLAPPING[0]["frame_index"]}, OVERLAPPING[1])]),
            "goes from 6 to 8",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
