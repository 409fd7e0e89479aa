"""Windows of a clip: successive frames, what is between them, and where objects are behind them."""

import numpy as np
import pytest

from mtljax.data import augment, check
from mtljax.data.kinds import fields
from mtljax.errors import UserError


def started(clip, found):
    """The frame at which a window starts."""
    return int(found["frame_index"][0] - clip["frame_index"][0])


def test_a_window_is_of_successive_frames_at_any_place(clips):
    change, starts = augment.moment(2), set()
    for seed in range(8):
        clip = clips[seed % 3]
        found = change(clip, np.random.default_rng(seed))
        at = started(clip, found)
        starts.add(at)
        assert found.keys() == clip.keys()
        here = {field.path: field for field in fields(found)}
        for field in fields(clip):
            if field.path.startswith(("future", "instances_valid")):
                continue
            whole, axis = field.value, field.frame_axis
            exact = whole if axis is None else np.moveaxis(np.moveaxis(whole, axis, 0)[at : at + 2], 0, axis)
            if not field.path.startswith(("forward_flow", "backward_flow", "moving", "ego_motion")):
                np.testing.assert_array_equal(here[field.path].value, exact)
        np.testing.assert_array_equal(found["forward_flow"][0], clip["forward_flow"][at])
        np.testing.assert_array_equal(found["backward_flow"][1], clip["backward_flow"][at + 1])
        del found["place"], found["place_valid"]
        check([found])  # what is between frames is not valid beyond the window
    assert starts == {0, 1}
    np.testing.assert_array_equal(clips[0]["forward_flow_valid"].any(axis=(1, 2, 3)), [True, True, False])


def test_maps_of_other_pixels_than_the_image_have_its_frames(clips):
    """As labels beside features that stand in the image's place."""
    clip = dict(clips[0]) | {"image": clips[0]["image"][:, ::2, ::2]}
    found = augment.moment(2)(clip, np.random.default_rng(0))
    at = started(clip, found)
    for key in ("segmentations", "depth", "depth_valid"):
        np.testing.assert_array_equal(found[key], clip[key][at : at + 2])


def test_the_future_is_where_objects_will_be(clips):
    known = 0
    for seed in range(12):
        clip = clips[seed % 3]
        found = augment.moment(1, future=2)(clip, np.random.default_rng(seed))
        end = started(clip, found) + 1
        assert found["future"].shape == (10, 2, 2)
        for i, step in np.ndindex(10, 2):
            there = end + step < 3 and found["instances_valid"][i]
            assert found["future_valid"][i, step, 0] == there
            exact = clip["instances"]["positions"][i, end + step, :2] if there else [0, 0]
            np.testing.assert_array_equal(found["future"][i, step], exact)
            known += there
    assert known > 10
    whole = augment.moment(3)(clips[0], np.random.default_rng(0))
    assert whole["future"].shape == (10, 8, 2)
    assert not whole["future_valid"].any()


def test_objects_that_the_window_does_not_show_are_not_valid(clips):
    clip = dict(clips[0])
    objects = clip["instances"]
    boxes, visibility = objects["bboxes"].copy(), objects["visibility"].copy()
    boxes[0, :2], visibility[0, :2] = 0, 0
    clip["instances"] = objects | {"bboxes": boxes, "visibility": visibility}
    for seed in range(6):
        found = augment.moment(2)(clip, np.random.default_rng(seed))
        assert found["instances_valid"][0] == (started(clip, found) == 1 and boxes[0, 2].any())


def test_the_future_is_mirrored_and_shrunk_with_the_world(clips):
    one = augment.moment(1)(clips[1], np.random.default_rng(1))
    assert np.abs(one["future"]).max() > 0.5
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(augment.flip(p=1.0)(one, rng)["future"], one["future"] * np.float32([-1, 1]))
    half = augment.scale(2.0, 2.0)(one, rng)
    np.testing.assert_allclose(half["future"], one["future"] / 2)
    np.testing.assert_allclose(half["instances"]["positions"], one["instances"]["positions"] / 2)


def test_mistakes_are_named(clips):
    for arguments, message in (((0,), r"moment\(frames=0\)"), ((2, 0.5), r"moment\(future=0.5\)")):
        with pytest.raises(UserError, match=f"{message}: expected a whole number, at least 1"):
            augment.moment(*arguments)
    with pytest.raises(UserError, match=r"moment\(4\): a clip has only 3 frames"):
        augment.moment(4)(clips[0], np.random.default_rng(0))
