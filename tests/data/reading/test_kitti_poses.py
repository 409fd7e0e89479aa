"""KITTI's pose files: what is read, and what is said of files that are not as they should be."""

import numpy as np
import pytest

from mtljax import geometry
from mtljax.data import read_kitti
from mtljax.errors import UserError

POSES = geometry.chain([[0.1, 0.0, 1.0, 0.0, 0.2, 0.05]] * 4)
LINES = [" ".join(f"{x:e}" for x in row) for row in POSES[:, :3].reshape(-1, 12)]


def test_poses_are_those_of_the_file(tmp_path):
    file = tmp_path / "09.txt"
    file.write_text("\n".join(LINES) + "\n\n")
    frames, poses = read_kitti(file)
    assert (list(frames), poses.dtype) == ([0, 1, 2, 3, 4], np.float64)
    np.testing.assert_allclose(poses, POSES, atol=1e-6)


def test_frames_in_front_are_read(tmp_path):
    file = tmp_path / "09.txt"
    file.write_text("\n".join(f"{frame} {line}" for frame, line in zip((0, 2, 3, 7, 100), LINES, strict=True)))
    frames, poses = read_kitti(str(file))
    assert list(frames) == [0, 2, 3, 7, 100]
    np.testing.assert_allclose(poses, POSES, atol=1e-6)


@pytest.mark.parametrize(
    ("third", "message"),
    [
        ("1 2 3", r"09.txt', line 3 has 3 numbers; expected 12 numbers, or 13"),
        (f"2 {LINES[0]}", r"09.txt', line 3 has 13 numbers; the file's first line has 12"),
        (LINES[0].replace("1.", "one", 1), r"09.txt', line 3 is no pose: .*one"),
        (LINES[0].replace("1.000000e+00", "nan", 1), r"09.txt', line 3 holds numbers that are not finite"),
        (LINES[0].replace("1.000000e+00", "1e999", 1), r"09.txt', line 3 holds numbers that are not finite"),
        (LINES[0].replace("1.000000e+00", "1_0", 1), r"09.txt', line 3 is no pose: '1_0' is no number"),
        (LINES[0].replace("1.000000e+00", "1.1", 1), r"09.txt', line 3: the pose is not rigid"),
        (LINES[0].replace("1.000000e+00", "-1", 1), r"09.txt', line 3: the pose is not rigid"),  # a reflection
    ],
)
def test_a_line_that_is_no_pose_is_named(tmp_path, third, message):
    (tmp_path / "09.txt").write_text("\n".join([LINES[0], "", third, LINES[1]]))
    with pytest.raises(UserError, match=message):
        read_kitti(tmp_path / "09.txt")


@pytest.mark.parametrize("front", [("0", "0"), ("3", "2"), ("0", "1.5"), ("-1", "0"), ("0", "1e30")])
def test_frames_that_do_not_increase_are_named(tmp_path, front):
    (tmp_path / "09.txt").write_text("\n".join(f"{frame} {LINES[0]}" for frame in front))
    with pytest.raises(UserError, match=r"line \d: frame .* after .*; expected whole numbers that increase"):
        read_kitti(tmp_path / "09.txt")


def test_no_file_and_an_empty_one_are_told(tmp_path):
    with pytest.raises(UserError, match=r"09.txt' does not exist"):
        read_kitti(tmp_path / "09.txt")
    (tmp_path / "09.txt").write_text("\n")
    with pytest.raises(UserError, match=r"09.txt' is empty; expected a line of 12 numbers"):
        read_kitti(tmp_path / "09.txt")
    with pytest.raises(UserError, match=r"cannot be read"):
        read_kitti(tmp_path)
