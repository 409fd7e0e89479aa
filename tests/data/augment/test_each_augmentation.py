"""Each augmentation does what its name says, and refuses what it cannot do."""

import jax
import numpy as np
import pytest

from mtljax.data import augment
from mtljax.errors import UserError
from tests.data.augment.clips import FLIP, FRAMES


def test_a_flip_comes_as_often_as_asked(clips):
    rng = np.random.default_rng(0)
    small = {"image": clips[0]["image"]}
    flipped = [not np.array_equal(augment.flip(p=0.25)(small, rng)["image"], small["image"]) for _ in range(400)]
    assert 0.18 < np.mean(flipped) < 0.32


def test_flipping_twice_is_no_change(clips):
    rng = np.random.default_rng(0)
    for clip in clips:
        once = FLIP(clip, rng)
        assert not np.array_equal(once["image"], clip["image"])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), FLIP(once, rng), clip)


def test_colour_changes_images_alone_and_all_frames_alike(clips):
    still = clips[0] | {"image": np.repeat(clips[0]["image"][:1], FRAMES, axis=0)}
    change = augment.colour(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.2)
    after = change(still, np.random.default_rng(1))
    assert all(after[key] is still[key] for key in still if key != "image")
    assert after["image"].dtype == np.uint8
    assert np.ptp(after["image"], axis=0).max() == 0
    assert np.abs(after["image"].astype(int) - still["image"]).mean() > 3
    np.testing.assert_array_equal(augment.colour()(still, np.random.default_rng(0))["image"], still["image"])


def test_colour_changes_images_of_floats_as_those_of_8_bits(clips):
    whole = {"image": clips[0]["image"]}
    floats = {"image": whole["image"].astype(np.float32) / 255}
    change = augment.colour(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.2)
    for seed in range(3):
        wanted, found = (change(x, np.random.default_rng(seed))["image"] for x in (whole, floats))
        assert found.dtype == np.float32
        np.testing.assert_allclose(255 * found, wanted, atol=0.51)
        assert np.abs(wanted.astype(float) - whole["image"]).max() > 9


def test_each_part_of_a_colour_does_what_its_name_says():
    rng = np.random.default_rng(0)
    image = rng.integers(100, 156, (1, 8, 8, 3)).astype(np.uint8)
    luma = np.array([0.299, 0.587, 0.114])

    def changed(seed, **amount):
        return augment.colour(**amount)({"image": image}, np.random.default_rng(seed))["image"].astype(float)

    for seed in range(5):
        ratio = changed(seed, brightness=0.5) / image
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio.mean(), ratio.shape), atol=0.01)
        centred = changed(seed, contrast=0.5)
        assert abs((centred.mean(axis=(0, 1, 2)) @ luma) - image.mean(axis=(0, 1, 2)) @ luma) < 1
        assert centred.std() / image.std() == pytest.approx(np.ptp(centred) / np.ptp(image), abs=0.05)
        for amount in ({"saturation": 0.5}, {"hue": 0.5}):
            assert np.abs((changed(seed, **amount) - image) @ luma).max() < 1
            assert np.abs(changed(seed, **amount) - image).max() > 2
    whole = augment.colour(hue=0.5)
    grey = np.full((1, 2, 2, 3), 77, np.uint8)
    np.testing.assert_array_equal(whole({"image": grey}, rng)["image"], grey)


def test_objects_that_a_window_does_not_show_are_not_valid(clips):
    lost = 0
    for clip in clips:
        number = int(clip["instances_valid"].sum())
        for change in (augment.crop(14, 14), augment.scale(3.0, 3.0)):
            for alone in (clip, {k: v for k, v in clip.items() if k != "segmentations"}):
                after = change(alone, np.random.default_rng(0))
                seen = (after["instances"]["bboxes"] != 0).any(axis=(1, 2))
                np.testing.assert_array_equal(after["instances_valid"], clip["instances_valid"] & seen)
                lost += number - int(after["instances_valid"].sum())
    assert lost > 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: augment.flip(p=1.5), r"flip\(p=1.5\): expected a number from 0 to 1"),
        (lambda: augment.flip(p="often"), r"flip\(p='often'\): expected a number"),
        (lambda: augment.crop(0, 4), r"crop\(0, 4\): expected height and width in whole pixels"),
        (lambda: augment.resize(8, 4.5), r"resize\(8, 4.5\): expected height and width in whole pixels"),
        (lambda: augment.scale(1.5, 1.0), r"scale\(low=1.5, high=1.0\): expected low to be at most high"),
        (lambda: augment.scale(0, 1), r"scale\(low=0\): expected a number from 0.01 to 100"),
        (lambda: augment.scale(choices=[]), r"scale\(choices=\[\]\): expected a list of numbers"),
        (lambda: augment.scale(choices=["a"]), r"scale\(choices='a'\): expected a number"),
        (lambda: augment.scale(depth="divide"), r"'divide'; did you mean 'divided'"),
        (lambda: augment.colour(brightness=-1), r"colour\(brightness=-1\): expected a number from 0 to 1"),
        (lambda: augment.colour(hue=0.7), r"colour\(hue=0.7\): expected a number from 0 to 0.5"),
        (lambda: augment.compose(augment.flip), r"compose\(...\): flip is no augmentation; expected calls"),
    ],
)
def test_mistakes_in_arguments_are_named(change, message):
    with pytest.raises(UserError, match=message):
        change()


def test_images_that_an_augmentation_does_not_suit_are_named(clips):
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match=r"crop\(30, 60\): an image is only 48 x 48 pixels, height x width"):
        augment.crop(30, 60)(clips[0], rng)
    with pytest.raises(UserError, match=r"expected RGB images of 8 bits, not float32 of 1 channels"):
        augment.colour(0.1)({"image": np.zeros((1, 4, 4, 1), np.float32)}, rng)
    with pytest.raises(UserError, match=r"float32 in \[0, 1\], not -1 .. 2: colours are changed before"):
        augment.colour(0.1)({"image": np.array([-1, 0, 2], np.float32).reshape(1, 1, 1, 3)}, rng)
