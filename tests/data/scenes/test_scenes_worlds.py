"""The worlds that `scenes` draws: how objects and the camera move, and the random stream behind them."""

import dataclasses

import numpy as np
import pytest

from mtljax.data.scenes.moment import moment
from mtljax.data.scenes.raycast import HITS
from mtljax.data.scenes.render import render_clip
from mtljax.data.scenes.world import ARENA, HEIGHT, ROOM, clip_rng, sample_world


@pytest.fixture(scope="module")
def long_clips():
    return [render_clip(8, 24, 0, "train", index) for index in range(6)]


def test_positions_extrapolate_at_constant_velocity_and_reflect_at_the_arena(long_clips):
    free_steps = bounces = 0
    for clip in long_clips:
        x = clip["instances"]["positions"].astype(np.float64)
        before, now, after = x[:, :-2], x[:, 1:-1], x[:, 2:]
        ahead, behind = 2 * now - before, 2 * now - after
        walls = np.array([ARENA, ARENA, np.inf])
        bounces_next, bounced = np.abs(ahead) > walls, np.abs(behind) > walls
        free = ~bounces_next & ~bounced
        np.testing.assert_allclose(after[free], ahead[free], atol=2e-6)
        hit = bounces_next & ~bounced
        np.testing.assert_allclose(after[hit], (np.sign(ahead) * 2 * ARENA - ahead)[hit], atol=2e-6)
        free_steps += np.count_nonzero(free & (ahead != now))
        bounces += np.count_nonzero(hit)
        assert np.all(np.abs(x) <= walls + 1e-6)
    assert free_steps > 500
    assert bounces > 10


def test_worlds_vary_in_motion_and_keep_the_camera_clear():
    frames = 24
    worlds = [sample_world(clip_rng(0, "train", index), range(frames)) for index in range(100)]
    still_cameras = still_objects = 0
    for world in worlds:
        eyes = np.stack([world.camera.position(t) for t in range(frames)])
        assert np.all(np.abs(eyes[:, :2]) < ROOM)
        assert np.all((eyes[:, 2] > 0.5) & (eyes[:, 2] < HEIGHT))
        turn = np.stack([world.camera.rotation(t) for t in range(frames)])
        np.testing.assert_allclose(turn @ np.swapaxes(turn, 1, 2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(turn), 1)
        for solid in world.solids:
            gaps = [np.linalg.norm(solid.position(t) - eyes[t]) for t in range(frames)]
            assert min(gaps) > np.linalg.norm(solid.scale) + 0.25
        still_cameras += np.ptp(eyes, axis=0).max() == 0 and np.ptp(turn, axis=0).max() == 0
        still_objects += all(not solid.velocity.any() and not solid.spin.any() for solid in world.solids)
    assert 5 < still_cameras < 50
    assert 5 < still_objects < 50


def test_the_random_stream_of_a_clip_is_pinned():
    assert clip_rng(0, "train", 0).integers(0, 1000, 5).tolist() == [428, 457, 541, 444, 150]


SUMS = {
    (32, 2, 0, "train", 0): [1270720723, 1556259, 407415],
    (16, 4, 0, "validation", 3): [579168966, 445836, 200739],
    (16, 3, 0, "train", 1, 2): [239225448, 70642, 72961],
}


def test_clips_are_what_they_were():
    """Checksums of what is whole numbers, and so the same on every machine: a prepared data set stays what it was."""
    sums = {
        args: [int(np.sum(clip[key].astype(np.int64) * (np.arange(clip[key].size) % 65521).reshape(clip[key].shape)))
               for key in ("video", "segmentations", "edge")]
        for args in ((32, 2, 0, "train", 0), (16, 4, 0, "validation", 3), (16, 3, 0, "train", 1, 2))
        for clip in [render_clip(*args)]
    }  # fmt: skip
    assert sums == SUMS


@pytest.mark.parametrize("category", HITS)
def test_no_ray_that_meets_a_solid_is_passed_over(category):
    """Rays of any lengths, from the camera, from within, and from all around."""
    rng, hits, passed = np.random.default_rng(category), 0, 0
    world = sample_world(rng, range(3))
    solids = tuple(dataclasses.replace(solid, category=category) for solid in world.solids)
    at, direction = moment(dataclasses.replace(world, solids=solids), 2), rng.normal(size=(400, 3))
    for solid in at.placed:
        for origin in (at.eye, solid.position, solid.position + 0.7 * rng.normal(size=(400, 3))):
            met = np.isfinite(solid.hit(origin, direction)[0])
            near = np.isin(np.arange(400), solid.near(origin, direction, np.sum(direction**2, axis=1)))
            assert near[met].all()
            hits, passed = hits + np.count_nonzero(met), passed + np.count_nonzero(~near)
    assert hits > 100
    assert passed > 400 * len(solids)


def test_frames_may_be_several_steps_apart():
    whole, every = render_clip(16, 5, 0, "train", 2), render_clip(16, 3, 0, "train", 2, step=2)
    for key in ("depth", "normal", "segmentations", "edge"):
        np.testing.assert_array_equal(every[key], whole[key][::2])
    for key in ("bboxes", "positions", "quaternions"):
        np.testing.assert_array_equal(every["instances"][key], whole["instances"][key][:, ::2])
    np.testing.assert_array_equal(every["camera"]["positions"], whole["camera"]["positions"][::2])
    still = (every["depth"] > 0) & (every["segmentations"] == 0)
    moved = np.abs(every["forward_flow"] - whole["forward_flow"][::2])[still[..., 0]]
    assert moved.max() > 0.3  # two steps are more than one
    assert not np.array_equal(every["video"], whole["video"][::2])  # noise of its own
