"""RGB-D folders: what is read, and what is said of folders that are not as they should be."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mtljax.data import rgbd
from mtljax.errors import UserError
from tests.frames import H, K, W, write_frame


@pytest.fixture
def folder(ten_frames, tmp_path):
    return shutil.copytree(ten_frames, tmp_path / "frames")


def test_frames_are_split_in_order(ten_frames):
    data = rgbd(str(ten_frames), validation=0.3)
    positions = [[e["camera"]["positions"][0, 0] for e in data.split(s)] for s in ("train", "validation")]
    assert positions == [list(range(7)), [7, 8, 9]]


def test_clips_are_consecutive_and_do_not_overlap(ten_frames):
    clips = list(rgbd(str(ten_frames), validation=0.2, frames=3).split("train"))
    assert [list(clip["camera"]["positions"][:, 0]) for clip in clips] == [[0, 1, 2], [3, 4, 5]]
    assert clips[0]["image"].shape == (3, H, W, 3)


def test_examples_are_canonical(ten_frames):
    example = rgbd(str(ten_frames)).split("train")[3]
    assert example["image"].dtype == np.uint8
    with Image.open(ten_frames / "frame-000003.color.png") as image:
        np.testing.assert_array_equal(example["image"][0], np.asarray(image))
    np.testing.assert_allclose(example["depth"], 2.003, rtol=1e-6)
    for key, shape, dtype in (("depth", (1, H, W, 1), np.float32), ("normal", (1, H, W, 3), np.float32)):
        assert (example[key].shape, example[key].dtype) == (shape, dtype)
        assert (example[f"{key}_valid"].shape, example[f"{key}_valid"].dtype) == ((1, H, W, 1), np.bool_)
    known = example["normal_valid"][..., 0]  # all but at the corners
    assert known.mean() > 0.95
    np.testing.assert_allclose(example["normal"][known], [[0, 0, -1]] * known.sum(), atol=1e-5)
    assert not example["edge"].any()
    np.testing.assert_allclose(example["camera"]["intrinsics"], K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]))
    np.testing.assert_allclose(example["camera"]["quaternions"], [[np.cos(0.15), 0, 0, np.sin(0.15)]], atol=1e-6)


def test_missing_depth_is_masked_and_zero(folder):
    raw = np.full((H, W), 1500, np.uint16)
    raw[:4], raw[-4:] = 0, 65535
    write_frame(folder, 0, raw)
    example = rgbd(str(folder)).split("train")[0]
    wanted = (raw > 0) & (raw < 65535)
    np.testing.assert_array_equal(example["depth_valid"][0, ..., 0], wanted)
    assert not example["depth"][0, ..., 0][~wanted].any()
    for key in ("normal", "edge"):
        assert not example[f"{key}_valid"][0, ..., 0][~wanted].any()
        assert example[f"{key}_valid"].any()


def test_real_frames(shared):
    folder = shared / "data" / "kitchen"
    if not folder.is_dir():
        pytest.skip("needs shared/data/kitchen")
    data = rgbd(str(folder))
    assert [len(data.split(s)) for s in ("train", "validation")] == [640, 160]
    for index in (0, 300):
        example = data.split("train")[index]
        assert example["image"].shape == (1, 120, 160, 3)
        depth = example["depth"][example["depth_valid"]]
        assert example["depth_valid"].mean() > 0.5
        assert 0.3 < depth.min() < depth.max() < 12
        normal = example["normal"][example["normal_valid"][..., 0]]
        np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1, atol=1e-4)
        assert 0.01 < example["edge"][example["edge_valid"]].mean() < 0.4
        turn = np.linalg.norm(example["camera"]["quaternions"])
        np.testing.assert_allclose(turn, 1, atol=1e-5)


def shrink(folder):
    Image.fromarray(np.full((H // 2, W), 9, np.uint16)).save(folder / "frame-000002.depth.png")


def truncate(folder):
    file = folder / "frame-000002.color.png"
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: shutil.rmtree(f), r"rgbd folder '.*frames' does not exist"),
        (lambda f: [file.unlink() for file in f.iterdir()], r"has no frames; expected files such as frame-000000"),
        (lambda f: (f / "frame-000004.depth.png").unlink(), r"half copied: it lacks frame-000004.depth"),
        (lambda f: (f / "camera-intrinsics.txt").unlink(), r"camera-intrinsics.txt' is missing; expected a 3 x 3"),
        (lambda f: (f / "camera-intrinsics.txt").write_text("1 2\n3"), r"camera-intrinsics.txt' is no matrix of 3 x 3"),
        (lambda f: np.savetxt(f / "camera-intrinsics.txt", -K), r"camera-intrinsics.txt' holds no camera matrix"),
        (truncate, r"frame-000002.color.png' does not decode"),
        (shrink, r"frame-000002.depth.png' is 32 x 12 pixels; its image is 32 x 24"),
        (
            lambda f: Image.new("RGB", (W, H)).save(f / "frame-000002.depth.png"),
            r"frame-000002.depth.png' has mode RGB; expected 16 bit",
        ),
        (lambda f: np.savetxt(f / "frame-000002.pose.txt", 2 * np.eye(4)), r"frame-000002.pose.txt' is not rigid"),
        (lambda f: np.savetxt(f / "frame-000002.pose.txt", np.full((4, 4), np.nan)), r"4 x 4 finite numbers"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_with_the_file(folder, spoil, message):
    spoil(folder)
    with pytest.raises(UserError, match=message):
        list(rgbd(str(folder)).split("train"))


def test_mistakes_in_arguments_are_named(ten_frames):
    with pytest.raises(UserError, match=r"validation=1.5.*between 0 and 1"):
        rgbd(str(ten_frames), validation=1.5)
    with pytest.raises(UserError, match=r"frames=0.*at least 1"):
        rgbd(str(ten_frames), frames=0)
    with pytest.raises(UserError, match=r"split of .*'test'.*train, validation"):
        rgbd(str(ten_frames)).split("test")
    with pytest.raises(UserError, match="10 frames: too few"):
        rgbd(str(ten_frames), frames=8).split("train")
    with pytest.raises(UserError, match="did you mean 'frames"):
        rgbd(f"{ten_frames}x").split("train")
