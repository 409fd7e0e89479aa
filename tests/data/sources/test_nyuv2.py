"""NYU Depth v2: folders of arrays in the layout of MTAN and LibMTL, and the builder of TensorFlow Datasets."""

import shutil

import numpy as np
import pytest

from mtljax.data import DataSet, nyuv2, tfds
from mtljax.data.labels.normals import normals_from_depth
from mtljax.data.quiet import quiet_tfds
from mtljax.errors import UserError
from mtljax.geometry import backproject

H, W = 24, 32
K = np.array([[0.93 * W, 0, W / 2], [0, 0.93 * W, H / 2], [0, 0, 1]])


def planes(number):
    """A floor, a wall on either side and one behind, seen from the middle of a room: depth and exact normals."""
    rng = np.random.default_rng(number)
    surfaces = [([0, -1, 0], 1.2), ([1, 0, 0], 1.5), ([-1, 0, 0], 1.4), ([0.1, 0, -1], 4.0), ([0, 1, 0.2], 1.3)]
    rays = backproject(np.ones((H, W, 1)), K, np)
    depth, normal = np.full((H, W), np.inf), np.zeros((H, W, 3))
    for direction, distance in surfaces:
        n = np.array(direction) / np.linalg.norm(direction)
        z = (distance + rng.uniform(-0.2, 0.2)) / np.maximum(-rays @ n, 1e-6)
        nearer = z < depth
        depth, normal = np.where(nearer, z, depth), np.where(nearer[..., None], n, normal)
    return depth, normal


def write(folder, count, axes):
    """Float arrays as MTAN's authors share them, normals in another frame."""
    for part in ("image", "label", "depth", "normal"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(100 + number)
        depth, normal = planes(number)
        normal = normal * axes
        depth[:2], normal[:2] = 0, 0
        label = rng.integers(-1, 13, (H, W)).astype(np.float64)
        label[0, 0], label[0, 1] = -1, 12
        np.save(folder / "image" / f"{number}.npy", rng.random((H, W, 3)))
        np.save(folder / "label" / f"{number}.npy", label)
        np.save(folder / "depth" / f"{number}.npy", depth[..., None].astype(np.float32))
        np.save(folder / "normal" / f"{number}.npy", normal.astype(np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "nyuv2"
    write(root / "train", 11, [1, -1, -1])
    write(root / "val", 2, [1, -1, -1])
    return root


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "nyuv2")


def test_examples_are_canonical(made):
    data = nyuv2(str(made))
    assert isinstance(data, DataSet)
    train = data.split("train")
    assert (len(train), len(data.split("validation"))) == (11, 2)
    example = train[10]  # and not 2, as 10.npy comes before 2.npy in the alphabet
    kinds = {"image": (3, np.float32), "semantic": (1, np.int32), "depth": (1, np.float32), "normal": (3, np.float32)}
    assert example.keys() == {*kinds, "semantic_valid", "depth_valid", "normal_valid"}
    for key, (channels, dtype) in kinds.items():
        assert (example[key].shape, example[key].dtype) == ((1, H, W, channels), dtype)
        if key != "image":
            assert (example[f"{key}_valid"].shape, example[f"{key}_valid"].dtype) == ((1, H, W, 1), np.bool_)
    np.testing.assert_allclose(example["image"][0], np.load(made / "train" / "image" / "10.npy"), rtol=1e-6)
    label = np.load(made / "train" / "label" / "10.npy")
    np.testing.assert_array_equal(example["semantic_valid"][0, ..., 0], label >= 0)
    np.testing.assert_array_equal(example["semantic"][0, ..., 0], np.maximum(label, 0))
    depth, normal = planes(10)
    np.testing.assert_allclose(example["depth"][0, 2:, :, 0], depth[2:], rtol=1e-6)
    np.testing.assert_allclose(example["normal"][0, 2:], normal[2:], atol=1e-6)
    for key in ("depth", "normal"):
        assert not example[f"{key}_valid"][0, :2].any()
        assert not example[key][0, :2].any()
        assert example[f"{key}_valid"][0, 2:].all()


@pytest.mark.parametrize("axes", [(1, 1, 1), (1, 1, -1), (-1, 1, -1), (-1, -1, -1)])
def test_normals_are_turned_into_the_frame_in_which_depth_has_them(tmp_path, axes):
    write(tmp_path / "nyuv2" / "train", 3, axes)
    example = nyuv2(str(tmp_path / "nyuv2")).split("train")[1]
    np.testing.assert_allclose(example["normal"][0, 2:], planes(1)[1][2:], atol=1e-6)


def test_the_made_rooms_are_seen_by_the_camera_as_they_should_be():
    depth, normal = planes(0)
    found, known = normals_from_depth(depth, np.isfinite(depth), K)
    assert np.median(np.sum(found[known] * normal[known], axis=-1)) > 0.999


def save(part, change):
    def harm(folder):
        file = folder / "train" / part / "1.npy"
        np.save(file, change(np.load(file)))

    return harm


def truncate(folder):
    file = folder / "train" / "depth" / "1.npy"
    file.write_bytes(file.read_bytes()[:200])


def shuffle_normals(folder):
    for file in (folder / "train" / "normal").iterdir():
        rng = np.random.default_rng(0)
        np.save(file, rng.permuted(np.load(file).reshape(-1, 3), axis=0).reshape(H, W, 3))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, r"NYUv2 folder '.*nyuv2' does not exist"),
        (lambda f: shutil.rmtree(f / "train" / "image"), r"train' has no images; expected files such as image/0.npy"),
        (lambda f: (f / "train" / "normal" / "3.npy").unlink(), r"half copied: it lacks normal/3.npy"),
        (truncate, r"depth/1.npy' cannot be read"),
        (save("depth", lambda a: a[::2]), r"depth .*depth/1.npy' is 32 x 12 pixels; its image is 32 x 24"),
        (save("depth", lambda a: a[..., 0]), r"depth/1.npy' is float32 \(24, 32\); expected numbers \(h, w, 1\)"),
        (save("normal", lambda a: a + np.inf), r"normal/1.npy' holds values that are not finite"),
        (save("label", lambda a: a + 1), r"label/1.npy' holds 13; expected classes 0 .. 12"),
        (save("label", lambda a: a + 0.5), r"label/1.npy' holds 12.5; expected classes"),
        (save("image", lambda a: 255 * a), r"image/1.npy' has values beyond \[0, 1\]"),
        (shuffle_normals, r"normals in '.*normal' do not agree with the depth maps beside them"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_with_the_file(folder, harm, message):
    harm(folder)
    with pytest.raises(UserError, match=message):
        list(nyuv2(str(folder)).split("train"))


def test_an_unknown_split_is_named(made):
    with pytest.raises(UserError, match=r"split of nyuv2: 'val'.*validation"):
        nyuv2(str(made)).split("val")


def test_the_builder_of_tensorflow_datasets_gives_depth_by_a_key_map(tmp_path):
    """Its features are `image` (480, 640, 3) uint8 and `depth` (480, 640) float16, metres."""
    with quiet_tfds():
        from PIL import Image
        from tensorflow_datasets.datasets.nyu_depth_v2 import nyu_depth_v2_dataset_builder as nyu

    depth = np.linspace(0.5, 9.5, 480 * 640).reshape(480, 640).astype(np.float16)
    depth[0, 0] = 0
    pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    made = [("a", {"image": Image.fromarray(pixels), "depth": depth})]
    with pytest.MonkeyPatch.context() as patch, quiet_tfds():
        patch.setattr(nyu.Builder, "_split_generators", lambda self, _: {"train": made, "validation": made})
        nyu.Builder(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    splits = {"train": "train", "validation": "validation"}
    keys = {"image": "image", "depth": "depth"}
    example = tfds("nyu_depth_v2", splits, keys=keys, data_dir=str(tmp_path)).split("validation")[0]
    np.testing.assert_array_equal(example["image"], pixels[None])
    assert (example["depth"].shape, example["depth"].dtype) == ((1, 480, 640, 1), np.float32)
    np.testing.assert_array_equal(example["depth"][0, ..., 0], depth.astype(np.float32))
    assert example["depth_valid"].sum() == 480 * 640 - 1
    assert not example["depth_valid"][0, 0, 0, 0]
