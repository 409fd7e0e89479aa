"""RGB-D folders: what is read, and what is said of folders that are not as they should be."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mtljax.data import rgbd
from mtljax.data.reading import images
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


def test_clips_overlap_by_the_stride_and_every_motion_is_seen_once_with_frames_less_one(ten_frames):
    def places(**arguments):
        return [clip["frame_index"].tolist() for clip in rgbd(str(ten_frames), **arguments).split("train")]

    assert places(frames=2, stride=1) == [[i, i + 1] for i in range(7)]
    assert places(frames=3, stride=2) == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert places(frames=2, stride=5) == [[0, 1], [5, 6]]
    assert [i for clip in places(frames=3, stride=2) for i in clip[:-1]] == list(range(6))


def test_every_takes_frames_farther_apart(ten_frames):
    data = rgbd(str(ten_frames), validation=0.4, frames=2, every=2)
    positions = [clip["camera"]["positions"][:, 0].tolist() for s in ("train", "validation") for clip in data.split(s)]
    assert positions == [[0, 2], [6, 8]]
    [clip] = data.split("train")
    np.testing.assert_array_equal(clip["frame_index"], [0, 1])
    np.testing.assert_allclose(clip["ego_motion"][0], [2, 0, 0, 0, 0, 0.2], atol=1e-6)


def test_offsets_take_all_frames_and_motions_do_not_join_what_is_apart(ten_frames):
    data = rgbd(str(ten_frames), validation=0.4, frames=2, stride=1, every=2, offsets=2)
    clips = {split: list(data.split(split)) for split in ("train", "validation")}
    positions = {
        split: [clip["camera"]["positions"][:, 0].tolist() for clip in found] for split, found in clips.items()
    }
    assert positions == {"train": [[0, 2], [2, 4], [1, 3], [3, 5]], "validation": [[6, 8]]}
    assert [clip["frame_index"].tolist() for clip in clips["train"]] == [[0, 1], [1, 2], [5, 6], [6, 7]]


@pytest.mark.parametrize(("cache_mb", "read"), [(512, 8), (0, 14 + 2)])
def test_frames_are_read_once_while_they_fit(ten_frames, monkeypatch, cache_mb, read):
    files = []
    colour = images.colour
    monkeypatch.setattr(images, "colour", lambda file: files.append(file) or colour(file))
    source = rgbd(str(ten_frames), validation=0.1, frames=2, stride=1, cache_mb=cache_mb).split("train")
    first, *_ = list(source)
    first["image"][:] = 0  # what is given out is the reader's own
    assert source[0]["image"].any()
    assert len(files) == read


def test_clips_have_the_motion_of_a_still_world(ten_frames):
    clip = rgbd(str(ten_frames), frames=3, stride=1).split("train")[1]
    x, y = np.meshgrid((np.arange(W) - 15.5) / 30, (np.arange(H) - 11.5) / 30)
    for key, t, step in (("forward_flow", 0, 1), ("forward_flow", 1, 1), ("backward_flow", 1, -1)):
        # The camera of frame n is at (n, 0, 1), turned by 0.1 n about its axis: complex numbers do.
        n, z = t + 1, clip["depth"][t, 0, 0, 0]
        ahead = (z * (x + 1j * y) * np.exp(0.1j * n) - step) * np.exp(-0.1j * (n + step)) / z - (x + 1j * y)
        assert clip[f"{key}_valid"][t].all()
        np.testing.assert_allclose(clip[key][t], 30 * np.stack([ahead.real, ahead.imag], axis=-1), atol=1e-3)
    assert not clip["moving"].any()
    assert clip["moving_valid"].all(axis=(1, 2, 3)).tolist() == [True, True, False]
    for key, last in (("forward_flow", 2), ("backward_flow", 0)):
        assert not clip[f"{key}_valid"][last].any()
        assert not clip[key][last].any()
    assert clip["ego_motion_valid"][:, 0].tolist() == [True, True, False]
    turn = -0.1  # the next camera's step of a metre, as frame 1 sees it, turned by 0.1
    np.testing.assert_allclose(clip["ego_motion"][0], [np.cos(turn), np.sin(turn), 0, 0, 0, 0.1], atol=1e-6)
    assert (clip["frame_index"].dtype, clip["frame_index_valid"].all()) == (np.int32, True)
    assert not {"forward_flow", "ego_motion"} & rgbd(str(ten_frames)).split("train")[0].keys()


def test_a_folder_that_was_thinned_out_evenly_is_whole(folder):
    for number in range(1, 10, 2):
        remove(folder, number)
    assert len(rgbd(str(folder)).split("train")) == 4


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


def test_real_flow_takes_an_image_to_the_next(shared):
    folder = shared / "data" / "kitchen"
    if not folder.is_dir():
        pytest.skip("needs shared/data/kitchen")
    still, moved = [], []
    for index in range(0, 600, 100):
        clip = rgbd(str(folder), frames=2, stride=1, every=2).split("train")[index // 2]
        now, later = clip["image"].astype(np.float64)
        known = clip["forward_flow_valid"][0, ..., 0]
        rows, columns = np.nonzero(known)
        there = np.stack([columns, rows], axis=-1) + clip["forward_flow"][0][known]
        x, y = np.round(there).astype(int).T
        inside = (x >= 0) & (x < 160) & (y >= 0) & (y < 120)
        here = now[rows[inside], columns[inside]]
        still.append(np.abs(later[rows[inside], columns[inside]] - here).mean())
        moved.append(np.abs(later[y[inside], x[inside]] - here).mean())
    assert np.mean(moved) < 0.6 * np.mean(still)


def shrink(folder):
    Image.fromarray(np.full((H // 2, W), 9, np.uint16)).save(folder / "frame-000002.depth.png")


def remove(folder, number):
    for file in folder.glob(f"frame-{number:06d}.*"):
        file.unlink()


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
        (
            lambda f: np.savetxt(f / "camera-intrinsics.txt", K * [[2], [2], [1]]),
            r"camera-intrinsics.txt' is of another resolution.*\(31.5, 23.5\) for images of 32 x 24 pixels",
        ),
        (lambda f: np.savetxt(f / "camera-intrinsics.txt", K * [[1], [2], [1]]), r"is of another resolution.*16, 23.5"),
        (lambda f: np.savetxt(f / "camera-intrinsics.txt", np.diag([30.0, 30, 1])), r"is of another resolution"),
        (
            lambda f: np.savetxt(f / "camera-intrinsics.txt", K - [[0, 0, 16], [0, 0, 12], [0, 0, 0]]),
            r"of another resolution",
        ),
        (lambda f: remove(f, 4), r"lacks frame-000004, between frame-000003 and frame-000005"),
        (truncate, r"frame-000002.color.png' does not decode"),
        (shrink, r"frame-000002.depth.png' is 32 x 12 pixels; its image is 32 x 24"),
        (
            lambda f: Image.new("RGB", (W, H)).save(f / "frame-000002.depth.png"),
            r"frame-000002.depth.png' has mode RGB; expected 16 bit",
        ),
        (lambda f: np.savetxt(f / "frame-000002.pose.txt", 2 * np.eye(4)), r"frame-000002.pose.txt' is not rigid"),
        (lambda f: np.savetxt(f / "frame-000002.pose.txt", np.full((4, 4), np.nan)), r"4 x 4 finite numbers"),
        (
            lambda f: (f / "frame-000002.pose.txt").write_text("1 0 0 0\n0 1 0 -inf\n0 0 1 0\n0 0 0 1"),
            r"frame-000002.pose.txt', line 2: '-inf' is no finite number",
        ),
        (
            lambda f: np.savetxt(f / "camera-intrinsics.txt", np.where(K == 15.5, np.nan, K)),
            r"camera-intrinsics.txt', line 1: 'nan' is no finite number",
        ),
        (
            lambda f: np.savetxt(f / "camera-intrinsics.txt", K * [[0.55], [0.6], [1]]),
            r"camera-intrinsics.txt' is of another resolution",
        ),
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
    with pytest.raises(UserError, match=r"stride=0.*at least 1"):
        rgbd(str(ten_frames), stride=0)
    with pytest.raises(UserError, match=r"every=1.5.*whole number"):
        rgbd(str(ten_frames), every=1.5)
    with pytest.raises(UserError, match=r"every=2, offsets=3.*no more offsets than 2"):
        rgbd(str(ten_frames), every=2, offsets=3)
    with pytest.raises(UserError, match=r"cache_mb=-1.*at least 0"):
        rgbd(str(ten_frames), cache_mb=-1)
    with pytest.raises(UserError, match=r"has 4 frames \(every=3\): too few"):
        rgbd(str(ten_frames), frames=3, every=3).split("train")
    with pytest.raises(UserError, match=r"split of .*'test'.*train, validation"):
        rgbd(str(ten_frames)).split("test")
    with pytest.raises(UserError, match="10 frames: too few"):
        rgbd(str(ten_frames), frames=8).split("train")
    with pytest.raises(UserError, match="did you mean 'frames"):
        rgbd(f"{ten_frames}x").split("train")
