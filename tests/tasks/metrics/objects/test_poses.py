"""Poses: golden figures, laws, objects that were not found, points of solids."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtljax.geometry.rotations import rotation_from
from mtljax.objects.symmetry import BOX, CONE, CUBE, CYLINDER, NONE, SPHERE, TURNS
from mtljax.tasks.metrics.objects.poses import Errors, degrees, pose_errors, pose_figures
from mtljax.tasks.metrics.objects.solids import BOX as SOLID_BOX
from mtljax.tasks.metrics.objects.solids import CONE as SOLID_CONE
from mtljax.tasks.metrics.objects.solids import CYLINDER as SOLID_CYLINDER
from mtljax.tasks.metrics.objects.solids import SPHERE as SOLID_SPHERE
from mtljax.tasks.metrics.objects.solids import solid_points
from tests.tasks import golden

KIND = {"box": BOX, "cylinder": CYLINDER, "cone": CONE, "sphere": SPHERE, "wedge": NONE}
NAMES = {
    "ADD": "add",
    "ADD-S": "add_s",
    "degrees": "degrees",
    "degrees_symmetric": "degrees_symmetric",
    "metres": "metres",
}


@pytest.fixture(scope="module")
def found(shared):
    """The errors of the golden poses."""
    given = golden.read(shared, "pose.json")
    models = {name: np.array(points) for name, points in given["models"].items()}
    return [
        pose_errors(
            models[one["model"]],
            rotation_from(one["q"]).as_matrix(), np.array(one["t"]),
            rotation_from(one["true_q"]).as_matrix(), np.array(one["true_t"]),
            KIND[one["model"]],
        )
        for one in given["poses"]
    ]  # fmt: skip


def together(errors):
    return Errors(*(np.array(x) for x in zip(*errors, strict=True)))


def test_golden_errors(shared, found):
    given = golden.read(shared, "pose.json")
    for one, errors in zip(given["poses"], found, strict=True):
        golden.equal({name: getattr(errors, field) for name, field in NAMES.items()}, one["expected"])
        golden.equal({"d": errors.diameter}, {"d": given["diameters"][one["model"]]})


def test_golden_figures(shared, found):
    expected = golden.read(shared, "pose.json")["expected"]
    ours = {
        "AUC ADD-S 0.1 m": "AUC ADD-S",
        "AUC ADD(-S) 0.1 m": "AUC ADD(-S)",
        "5cm5deg": "close",
        "5cm5deg symmetric": "close symmetric",
    }
    wanted = {ours.get(name, name): value for name, value in expected.items() if not name.endswith("steps")}
    assert len(wanted) == len(expected) - 1  # what YCB-Video's toolbox sums is another figure
    golden.equal(pose_figures(together(found)), wanted)


def test_an_object_that_was_not_found_fails_every_share(found):
    points, still = np.eye(3), (np.zeros(3), np.eye(3), np.zeros(3), NONE)
    missed, broken = (pose_errors(points, rotation, *still) for rotation in (None, np.full((3, 3), np.nan)))
    before, after = pose_figures(together(found)), pose_figures(together([*found, missed]))
    for name in before:
        share = name.split()[0] not in ("mean", "median")
        assert after[name] == pytest.approx(before[name] * (len(found) / (len(found) + 1) if share else 1))
    assert np.isnan(pose_figures(together([missed]))["mean ADD"])
    assert pose_figures(together([missed]))["close"] == 0
    for none in (Errors(np.zeros(0, bool), *np.zeros((6, 0)), np.zeros(0, bool)), together([*found, broken])):
        assert np.isnan([*pose_figures(none).values()]).all()


def test_laws(found):
    errors = together(found)
    assert (errors.add_s <= errors.add + 1e-12).all()
    assert (errors.degrees_symmetric <= errors.degrees + 1e-9).all()
    assert (errors.degrees_symmetric < errors.degrees - 1).any()


def test_which_side_of_a_box_is_which_is_not_judged():
    rng = np.random.default_rng(0)
    points, truth = solid_points(SOLID_BOX, np.array([0.2, 0.5, 0.9])), Rotation.random(rng=rng).as_matrix()
    seen = truth @ TURNS[11]
    other = pose_errors(points, seen, np.ones(3), truth, np.ones(3), BOX)
    same = pose_errors(points, seen, np.ones(3), truth, np.ones(3), CUBE)
    assert same.add == same.add_s == pytest.approx(0, abs=1e-9)
    assert same.degrees == pytest.approx(0, abs=1e-5)
    assert other.degrees_symmetric > 80
    assert other.add > 0.1


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 3.0, np.pi - 1e-7, np.pi])
def test_degrees_are_exact_at_both_ends(angle):
    rng = np.random.default_rng(1)
    truth, axis = Rotation.random(rng=rng), rng.normal(size=3)
    turned = truth * Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    assert degrees(turned.as_matrix(), truth.as_matrix()) == pytest.approx(np.degrees(angle), rel=1e-6, abs=1e-12)


def test_points_lie_on_the_solids():
    half = np.array([0.5, 0.25, 2.0])
    on = {
        SOLID_SPHERE: lambda p: np.linalg.norm(p, axis=1),
        SOLID_BOX: lambda p: np.abs(p).max(axis=1),
        SOLID_CYLINDER: lambda p: np.maximum(np.hypot(p[:, 0], p[:, 1]), np.abs(p[:, 2])),
        SOLID_CONE: lambda p: np.maximum(np.hypot(p[:, 0], p[:, 1]) + (p[:, 2] + 1) / 2, -p[:, 2]),
    }
    for category, level in on.items():
        points = solid_points(category, half)
        assert points.shape == (200, 3)
        np.testing.assert_array_equal(points, solid_points(category, half))
        np.testing.assert_allclose(level(points / half), 1, atol=1e-9)
        assert np.abs(np.mean(points / half, axis=0))[:2].max() < 0.15
