"""KITTI odometry: sequences of images with calibration and poses as text, made small."""

import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from mtljax.data import DataSet, kitti_odometry
from mtljax.errors import UserError

H, W = 12, 40
F, CX, CY = 23.0, 19.5, 5.5
OFFSET = np.array([0.06, -0.0003, 0.0027])  # what moves points of the grey camera's frame to the colour camera's
LENGTHS = {"00": 7, "01": 5, "09": 4}


def poses(name):
    """(N, 4, 4) of the left grey camera, as a car drives: forwards along z, turning about y."""
    rng = np.random.default_rng(int(name))
    steps = np.tile(np.eye(4), (LENGTHS[name], 1, 1))
    steps[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.05, (LENGTHS[name], 3))).as_matrix()
    steps[:, :3, 3] = rng.normal([0, 0, 1], 0.02, (LENGTHS[name], 3))
    result = [np.eye(4)]
    for step in steps[1:]:
        result.append(result[-1] @ step)
    return np.stack(result)


def colours(name, number):
    return np.random.default_rng([int(name), number]).integers(0, 255, (H, W, 3), np.uint8)


def write_sequence(root, name):
    folder = root / "sequences" / name
    (folder / "image_2").mkdir(parents=True)
    for number in range(LENGTHS[name]):
        Image.fromarray(colours(name, number)).save(folder / "image_2" / f"{number:06d}.png")
    k = np.array([[F, 0, CX], [0, F, CY], [0, 0, 1]])
    lines = [f"P{i}: " + numbers(k @ np.c_[np.eye(3), offset]) for i, offset in ((0, np.zeros(3)), (2, OFFSET))]
    (folder / "calib.txt").write_text("\n".join([*lines, "Tr: " + numbers(np.eye(4)[:3])]) + "\n")
    (root / "poses").mkdir(exist_ok=True)
    (root / "poses" / f"{name}.txt").write_text("\n".join(numbers(pose[:3]) for pose in poses(name)) + "\n")


def numbers(matrix):
    return " ".join(f"{value:.12e}" for value in matrix.reshape(-1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "kitti"
    for name in LENGTHS:
        write_sequence(root, name)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "kitti")


def drives(root, **arguments):
    return kitti_odometry(str(root), **{"sequences": ("00", "01"), "validation": ("09",), "size": None} | arguments)


def test_examples_are_canonical(made):
    data = drives(made)
    assert isinstance(data, DataSet)
    train = data.split("train")
    assert (len(train), len(data.split("validation"))) == (3, 1)
    example = train[1]
    assert example.keys() == {"image", "ego_motion", "ego_motion_valid", "frame_index", "frame_index_valid", "camera"}
    np.testing.assert_array_equal(example["image"], [colours("00", number) for number in (3, 4, 5)])
    assert (example["ego_motion"].shape, example["ego_motion"].dtype) == ((3, 6), np.float32)
    assert (example["frame_index"].dtype, example["frame_index_valid"].tolist()) == (np.int32, [True] * 3)
    shapes = {key: (value.shape, value.dtype) for key, value in example["camera"].items()}
    single = np.dtype(np.float32)
    assert shapes == {"positions": ((3, 3), single), "quaternions": ((3, 4), single), "intrinsics": ((3, 3), single)}


def test_frame_indices_are_consecutive_with_a_gap_between_sequences(made):
    found = [example["frame_index"].tolist() for example in drives(made, frames=2, stride=1).split("train")]
    assert found == [[i, i + 1] for i in range(6)] + [[i, i + 1] for i in range(8, 12)]
    assert [example["frame_index"][0] for example in drives(made, frames=3, stride=2).split("train")] == [
        0,
        2,
        4,
        8,
        10,
    ]


def test_the_camera_is_the_one_that_took_the_images(made):
    """A point seen from both cameras: the grey one's pose and the colour one's must agree on where it is."""
    [example] = drives(made, frames=4).split("validation")
    camera = example["camera"]
    point = np.array([0.3, -0.2, 5.0])  # in the grey camera's frame
    turns = Rotation.from_quat(np.roll(camera["quaternions"], -1, axis=-1)).as_matrix()
    for pose, turn, position in zip(poses("09"), turns, camera["positions"], strict=True):
        np.testing.assert_allclose(turn @ (point + OFFSET) + position, pose[:3, :3] @ point + pose[:3, 3], atol=1e-5)
    np.testing.assert_allclose(camera["intrinsics"], [[F, 0, CX + 0.5], [0, F, CY + 0.5], [0, 0, 1]])


def test_ego_motion_maps_points_of_the_next_camera_to_this_one(made):
    shift = np.eye(4)
    shift[:3, 3] = -OFFSET
    [example] = drives(made, frames=4).split("validation")
    for t, (here, there) in enumerate(zip(poses("09")[:-1], poses("09")[1:], strict=True)):
        expected = np.linalg.inv(here @ shift) @ there @ shift
        np.testing.assert_allclose(example["ego_motion"][t, :3], expected[:3, 3], atol=1e-5)
        np.testing.assert_allclose(
            Rotation.from_rotvec(example["ego_motion"][t, 3:]).as_matrix(), expected[:3, :3], atol=1e-6
        )
    assert example["ego_motion_valid"].tolist() == [[True], [True], [True], [False]]
    assert example["ego_motion"][0, 2] > 0.8  # it drives forwards
    assert not example["ego_motion"][-1].any()


def test_images_and_intrinsics_are_resized_together(made):
    example = drives(made, size=(6, 10)).split("train")[0]
    assert example["image"].shape == (3, 6, 10, 3)
    expected = [[F / 4, 0, (CX + 0.5) / 4], [0, F / 2, (CY + 0.5) / 2], [0, 0, 1]]
    np.testing.assert_allclose(example["camera"]["intrinsics"], expected, rtol=1e-6)


def test_images_may_be_jpegs(root):
    for file in (root / "sequences" / "09" / "image_2").iterdir():
        Image.open(file).save(file.with_suffix(".jpg"), quality=95)
        file.unlink()
    [example] = drives(root, frames=4).split("validation")
    assert np.abs(example["image"][2].astype(int) - colours("09", 2)).mean() < 60


def edit(file, change):
    def harm(root):
        text = (root / file).read_text().splitlines()
        (root / file).write_text("\n".join(change(text)) + "\n")

    return harm


def truncate(root):
    file = root / "sequences" / "00" / "image_2" / "000001.png"
    file.write_bytes(file.read_bytes()[:60])


def shrink(root):
    Image.new("RGB", (W, H // 2)).save(root / "sequences" / "00" / "image_2" / "000001.png")


def not_finite(word):
    return edit("sequences/00/calib.txt", lambda t: [t[0], " ".join([*t[1].split()[:4], word, *t[1].split()[5:]])])


def enlarge(root, factor):
    """Other pictures, beside the calibration of the former ones."""
    for file in (root / "sequences" / "00" / "image_2").iterdir():
        Image.new("RGB", (int(W * factor), int(H * factor))).save(file)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, r"KITTI folder '.*kitti' does not exist"),
        (lambda r: shutil.rmtree(r / "sequences" / "00"), r"KITTI sequence.*'00'"),
        (lambda r: (r / "sequences/00/image_2/000003.png").unlink(), r"image_2' lacks 000003; expected all"),
        (
            lambda r: (r / "sequences/00/image_2/000006.png").unlink(),
            r"00.txt' holds 7 poses for the 6 images in .*image_2",
        ),
        (lambda r: shutil.rmtree(r / "sequences/00/image_2"), r"has no images; expected image_2/000000.png"),
        (lambda r: (r / "poses" / "00.txt").unlink(), r"poses/00.txt' does not exist"),
        (
            edit("poses/00.txt", lambda t: [*t[:2], "1 2 3", *t[3:]]),
            r"00.txt', line 3 has 3 numbers; expected 12 numbers",
        ),
        (
            edit("poses/00.txt", lambda t: [numbers(2 * np.eye(4)[:3]), *t[1:]]),
            r"00.txt', line 1: the pose is not rigid",
        ),
        (edit("sequences/00/calib.txt", lambda t: t[:1]), r"calib.txt' has no P2"),
        (edit("sequences/00/calib.txt", lambda t: ["P2: 1 2"]), r"P2 of '.*calib.txt': expected 12 numbers"),
        (edit("sequences/00/calib.txt", lambda t: ["P2:" + " 0" * 12]), r"P2 of '.*calib.txt' is no projection"),
        (edit("sequences/00/calib.txt", lambda t: [t[1].replace("P2: ", "P2: -")]), r"calib.txt' is no projection"),
        (not_finite("nan"), r"line 2, P2 of '.*calib.txt': expected 12 numbers, all finite"),
        (not_finite("inf"), r"line 2, P2 of '.*calib.txt': expected 12 numbers, all finite"),
        (not_finite("1e200"), r"line 2, P2 of '.*calib.txt': expected 12 numbers, all finite"),
        (
            lambda r: enlarge(r, 0.5),
            r"calib.txt' is of another resolution than the images: its principal point is \(20, 6\) for .* 20 x 6 pixels",
        ),
        (lambda r: enlarge(r, 1.6), r"calib.txt' is of another resolution .* 64 x 19 pixels"),
        (lambda r: enlarge(r, 0.7), r"calib.txt' is of another resolution .* 28 x 8 pixels"),
        (truncate, r"000001.png' does not decode"),
        (shrink, r"frames of '.*image_2' differ in size"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(root, harm, message):
    harm(root)
    with pytest.raises(UserError, match=message):
        list(drives(root).split("train"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, r"frames=0\): expected a whole number"),
        ({"stride": 1.5}, r"stride=1.5\): expected a whole number"),
        ({"frames": 6}, r"KITTI sequence '01' has 5 frames: too few for clips of 6"),
        ({"sequences": "00"}, r"expected some sequences for train, such as \['09', '10'\]"),
        ({"validation": ()}, r"expected some sequences for validation"),
        ({"validation": ("01",)}, r"sequence '01' is in both"),
        ({"sequences": ("02",)}, r"unknown KITTI sequence folder.*'02'"),
        ({"size": (0, 5)}, r"size=\(0, 5\)"),
    ],
)
def test_mistakes_in_arguments_are_named(made, arguments, message):
    with pytest.raises(UserError, match=message):
        drives(made, **arguments).split("train")
