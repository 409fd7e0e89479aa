"""Errors of trajectories: golden numbers of KITTI sequence 09, slow transcriptions, `evo`, and properties."""

import itertools

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtljax import geometry
from mtljax.data import read_kitti
from mtljax.geometry import trajectories

METRICS = {
    "none": geometry.ate,
    "se3": lambda p, g: geometry.ate(p, g, "se3"),
    "sim3": lambda p, g: geometry.ate(p, g, "sim3"),
    "rpe": geometry.rpe,
    "kitti": geometry.kitti_errors,
    "snippet": geometry.snippet_ate,
}


def drive(frames, seed=0, noise=0.0, scale=1.0):
    """A drive of about a metre a frame, with what an estimate of it would be."""
    turns = np.random.default_rng(seed)
    motions = np.zeros((frames - 1, 6))
    motions[:, 2] = turns.uniform(0.5, 1.5, frames - 1)
    motions[:, 3:] = turns.normal(0, [0.005, 0.03, 0.005], (frames - 1, 3))
    motions[:, :3] *= scale
    return geometry.chain(motions + noise * np.random.default_rng(seed + 1).normal(size=motions.shape))


TRUTH, ESTIMATE = drive(240), drive(240, noise=0.02, scale=0.7)
ELSEWHERE = geometry.chain([[5.0, -2.0, 1.0, 0.4, -2.0, 0.3]])[1]


@pytest.fixture(scope="module")
def sequence(shared):
    """The true poses of KITTI sequence 09, and a published estimate beside the poses of its frames."""
    folder = shared / "golden" / "odometry"
    if not folder.is_dir():
        pytest.skip("needs shared/golden/odometry")
    _, truth = read_kitti(folder / "gt.09.txt")

    def read(name):
        frames, estimate = read_kitti(folder / f"{name}.09.txt")
        return estimate, truth[frames]

    return read


def test_golden_numbers_without_alignment(sequence):
    estimate, truth = sequence("example_1")
    assert [f"{x:.3f}" for x in geometry.kitti_errors(estimate, truth)] == ["2.607", "0.288"]
    assert [f"{x:.3f}" for x in geometry.rpe(estimate, truth)] == ["0.056", "0.037"]
    assert f"{geometry.ate(estimate, truth):.2f}" == "17.92"


def test_golden_numbers_after_alignment(sequence):
    estimate, truth = sequence("example_1")
    assert f"{geometry.ate(estimate, truth, 'se3'):.2f}" == "10.88"
    assert f"{geometry.ate(estimate, truth, 'sim3'):.2f}" == "10.73"
    assert f"{geometry.kitti_errors(geometry.align(estimate, truth, scale=True), truth)[0]:.3f}" == "2.528"


def test_golden_numbers_of_a_monocular_estimate(sequence):
    estimate, truth = sequence("example_0")
    assert len(estimate) == len(truth) == 1589  # from frame 2
    errors = geometry.kitti_errors(geometry.align(estimate, truth, scale=True), truth)
    assert [f"{x:.3f}" for x in errors] == ["2.869", "0.249"]
    assert f"{geometry.ate(estimate, truth, 'sim3'):.2f}" == "8.39"


def test_motions_and_poses_are_each_others_inverse():
    motions = np.random.default_rng(0).uniform(-1.8, 1.8, (50, 6))  # angles under pi
    poses = geometry.chain(motions)
    np.testing.assert_allclose(geometry.relative(poses), motions, atol=1e-9)
    np.testing.assert_allclose(geometry.chain(geometry.relative(poses)), poses, atol=1e-9)
    moved = ELSEWHERE @ poses
    np.testing.assert_allclose(moved[0] @ geometry.chain(geometry.relative(moved)), moved, atol=1e-9)


def test_a_motion_takes_points_of_the_next_camera_to_this_one():
    motion = np.random.default_rng(1).normal(size=6)
    first, second = geometry.chain([motion])
    seen_next = np.array([0.3, -0.2, 4.0])
    seen_now = Rotation.from_rotvec(motion[3:]).apply(seen_next) + motion[:3]
    np.testing.assert_allclose(first[:3, :3] @ seen_now, second[:3, :3] @ seen_next + second[:3, 3])
    np.testing.assert_allclose(jax.jit(geometry.matrix_of)(motion.astype(np.float32)), second, atol=1e-6)


def test_motions_are_chained_in_double_precision():
    step = [0.0, 0.0, 1.0, 0.0, 1e-3, 0.0]
    end = geometry.chain(np.tile(step, (4000, 1)))[-1]
    np.testing.assert_allclose(end[:3, :3], Rotation.from_rotvec([0, 4.0, 0]).as_matrix(), atol=1e-12)


@pytest.mark.parametrize("metric", ["se3", "sim3", "rpe", "kitti", "snippet"])
def test_where_the_estimate_stands_does_not_matter(metric):
    plain = METRICS[metric](ESTIMATE, TRUTH)
    np.testing.assert_allclose(METRICS[metric](ELSEWHERE @ ESTIMATE, TRUTH), plain, rtol=1e-9)
    np.testing.assert_allclose(METRICS[metric](ESTIMATE, ELSEWHERE @ TRUTH), plain, rtol=1e-9)


def test_only_what_fits_a_scale_is_free_of_it():
    large = ESTIMATE.copy()
    large[:, :3, 3] *= 3
    for metric, free in (("sim3", True), ("snippet", True), ("se3", False), ("none", False)):
        assert np.allclose(METRICS[metric](large, TRUTH), METRICS[metric](ESTIMATE, TRUTH)) == free


@pytest.mark.parametrize("metric", METRICS)
def test_the_truth_has_no_error(metric):
    np.testing.assert_allclose(METRICS[metric](TRUTH, TRUTH), 0, atol=1e-9)


def test_no_other_motion_fits_better():
    for scale in (False, True):
        aligned = geometry.align(ESTIMATE, TRUTH, scale=scale)
        best = geometry.ate(aligned, TRUTH)
        rng = np.random.default_rng(2)
        for _ in range(50):
            nudged = geometry.chain([rng.normal(scale=1e-2, size=6)])[1] @ aligned
            nudged[:, :3, 3] *= 1 + scale * rng.normal(scale=1e-2)
            assert geometry.ate(nudged, TRUTH) > best
        assert trajectories.rigid(aligned).all()


def test_a_mirrored_estimate_is_turned_and_not_mirrored():
    mirrored = TRUTH.copy()
    mirrored[:, 0, 3] *= -1
    assert trajectories.rigid(geometry.align(mirrored, TRUTH, scale=True)).all()
    assert geometry.ate(mirrored, TRUTH, "se3") > 0.05


def angle(rotation):
    return np.degrees(np.linalg.norm(Rotation.from_matrix(rotation).as_rotvec()))


def test_segments_are_those_of_the_benchmark():
    """A transcription in loops of section by section errors."""
    path = [0.0]
    for before, after in itertools.pairwise(TRUTH):
        path.append(path[-1] + np.linalg.norm(after[:3, 3] - before[:3, 3]))
    found = []
    for first in range(0, len(TRUTH), 10):
        for length in range(100, 801, 100):
            last = next((i for i in range(first, len(path)) if path[i] > path[first] + length), None)
            if last is not None:
                p, g = (np.linalg.inv(x[first]) @ x[last] for x in (ESTIMATE, TRUTH))
                error = np.linalg.inv(p) @ g
                found.append((np.linalg.norm(error[:3, 3]) / length, angle(error[:3, :3]) / length))
    assert 10 < len(found) < 40
    np.testing.assert_allclose(geometry.kitti_errors(ESTIMATE, TRUTH), 100 * np.mean(found, axis=0))


def test_snippets_are_those_of_sfmlearner():
    found = []
    for i in range(len(TRUTH) - 4):
        p, g = ((np.linalg.inv(x[i]) @ x[i : i + 5])[:, :3, 3] for x in (ESTIMATE, TRUTH))
        scale = np.sum(g * p) / np.sum(p**2)
        found.append(np.sqrt(np.sum((p * scale - g) ** 2)) / 5)
    np.testing.assert_allclose(geometry.snippet_ate(ESTIMATE, TRUTH), [np.mean(found), np.std(found)])


def test_pairs_are_transcribed():
    found = []
    for i in range(len(TRUTH) - 1):
        p, g = (np.linalg.inv(x[i]) @ x[i + 1] for x in (ESTIMATE, TRUTH))
        error = np.linalg.inv(g) @ p
        found.append((np.linalg.norm(error[:3, 3]), angle(error[:3, :3])))
    np.testing.assert_allclose(geometry.rpe(ESTIMATE, TRUTH), np.mean(found, axis=0))


def test_small_rotations_are_exact():
    turned = geometry.chain([[0.0, 0.0, 1.0, 0.0, 1e-8, 0.0]])
    straight = geometry.chain([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(geometry.rpe(turned, straight)[1], np.degrees(1e-8), rtol=1e-6)


def test_all_agrees_with_evo():
    pytest.importorskip("evo")
    from evo.core import metrics
    from evo.core.trajectory import PosePath3D

    def path(poses):
        return PosePath3D(poses_se3=list(poses))

    def figure(metric, pair, statistic):
        metric.process_data(pair)
        return metric.get_statistic(statistic)

    rmse, mean = metrics.StatisticsType.rmse, metrics.StatisticsType.mean
    for alignment in (None, "se3", "sim3"):
        estimate = path(ELSEWHERE @ ESTIMATE)
        if alignment:
            estimate.align(path(TRUTH), correct_scale=alignment == "sim3")
            ours = geometry.align(ELSEWHERE @ ESTIMATE, TRUTH, scale=alignment == "sim3")
            np.testing.assert_allclose(ours, estimate.poses_se3, atol=1e-9)
        theirs = figure(metrics.APE(metrics.PoseRelation.translation_part), (path(TRUTH), estimate), rmse)
        np.testing.assert_allclose(geometry.ate(ELSEWHERE @ ESTIMATE, TRUTH, alignment), theirs, rtol=1e-9)
    pairs = [
        figure(metrics.RPE(relation, delta=1, delta_unit=metrics.Unit.frames), (path(TRUTH), path(ESTIMATE)), mean)
        for relation in (metrics.PoseRelation.translation_part, metrics.PoseRelation.rotation_angle_deg)
    ]
    np.testing.assert_allclose(geometry.rpe(ESTIMATE, TRUTH), pairs, rtol=1e-9)


STILL = np.tile(np.eye(4), (9, 1, 1))


@pytest.mark.filterwarnings("error")
def test_a_single_pose():
    one, other = STILL[:1], ELSEWHERE[None]
    assert geometry.relative(one).shape == (0, 6)
    np.testing.assert_array_equal(geometry.chain(np.zeros((0, 6))), one)
    np.testing.assert_allclose(geometry.ate(other, one), np.sqrt(30))
    assert geometry.ate(other, one, "se3") == geometry.ate(other, one, "sim3") == 0
    assert np.isnan(
        [*geometry.rpe(other, one), *geometry.kitti_errors(other, one), *geometry.snippet_ate(other, one)]
    ).all()


@pytest.mark.filterwarnings("error")
def test_a_still_trajectory():
    spread = np.sqrt(np.sum(np.var(TRUTH[:9, :3, 3], axis=0)))
    for alignment in ("se3", "sim3"):
        np.testing.assert_allclose(geometry.ate(STILL, TRUTH[:9], alignment), spread)
        np.testing.assert_allclose(geometry.ate(ELSEWHERE @ STILL, STILL, alignment), 0, atol=1e-12)
    np.testing.assert_allclose(geometry.ate(TRUTH[:9], STILL, "sim3"), 0, atol=1e-12)  # the best scale is 0
    np.testing.assert_allclose(geometry.ate(TRUTH[:9], STILL, "se3"), spread)
    assert np.isfinite([*geometry.snippet_ate(STILL, TRUTH[:9]), *geometry.snippet_ate(TRUTH[:9], STILL)]).all()
    assert np.isnan(geometry.kitti_errors(TRUTH[:9], STILL)).all()


@pytest.mark.filterwarnings("error")
def test_a_straight_line_is_aligned():
    line = geometry.chain([[0.0, 0.0, 2.0, 0.0, 0.0, 0.0]] * 8)
    for alignment in ("se3", "sim3"):
        np.testing.assert_allclose(geometry.ate(ELSEWHERE @ line, line, alignment), 0, atol=1e-6)


def test_without_a_segment_of_100_metres_there_is_no_figure():
    assert np.isnan(geometry.kitti_errors(TRUTH[:50], TRUTH[:50])).all()
    assert np.isnan(geometry.snippet_ate(TRUTH[:4], TRUTH[:4])).all()
    assert geometry.snippet_ate(TRUTH[:4], TRUTH[:4], length=4)[0] < 1e-9


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (ESTIMATE[:9], "the estimate has 9 poses, the truth 240"),
        (ESTIMATE[:, :3], r"estimate has shape \(240, 3, 4\); expected \(N, 4, 4\)"),
        (ESTIMATE[:0], r"estimate has shape \(0, 4, 4\).*at least one pose"),
        (np.where(np.arange(240)[:, None, None] == 7, np.nan, ESTIMATE), "pose 7 of the estimate is not finite"),
        (np.where(np.arange(240)[:, None, None] == 7, 2 * ESTIMATE, ESTIMATE), "pose 7 of the estimate is not rigid"),
        (ESTIMATE * np.array([-1, 1, 1, 1]), "pose 0 of the estimate is not rigid"),
    ],
)
def test_what_is_no_trajectory_is_refused(metric, estimate, message):
    with pytest.raises(ValueError, match=message):
        METRICS[metric](estimate, TRUTH)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: geometry.chain(np.zeros((3, 7))), r"motions have shape \(3, 7\); expected \(N, 6\)"),
        (lambda: geometry.chain([[0, 0, 0, 0, 0, 0], [0, 0, np.inf, 0, 0, 0]]), "motion 1 is not finite"),
        (lambda: geometry.relative(2 * TRUTH), "pose 0 of the trajectory is not rigid"),
        (lambda: geometry.ate(TRUTH, TRUTH, "SE3"), "alignment='SE3'; expected one of None, 'se3', 'sim3'"),
        (lambda: geometry.snippet_ate(TRUTH, TRUTH, length=1), "length=1; expected snippets of at least 2"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
