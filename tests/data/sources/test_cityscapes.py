"""Cityscapes: its folders, ids, disparity and cameras, made small."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mtljax.data import DataSet, cityscapes
from mtljax.errors import UserError

H, W = 16, 32
BASELINE, FX, FY, U, V = 0.209313, 36.0, 36.5, 17.0, 8.0
# After cityscapesscripts/helpers/labels.py: id, train id, category, for ids 0 .. 33
TRAIN_IDS = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18]  # fmt: skip
CATEGORIES = [0] * 7 + [1] * 4 + [2] * 6 + [3] * 4 + [4] * 2 + [5] + [6] * 2 + [7] * 8


def ids():
    made = np.arange(H * W).reshape(H, W) % 34
    made[-1] = 255  # no id: a licence plate
    return made.astype(np.uint8)


def disparity():
    stored = np.arange(H * W).reshape(H, W) * 37 % 9000 + 2
    stored[0, :3] = [0, 1, 257]
    return stored.astype(np.uint16)


def write_image(root, split, city, number, parts=("gtFine", "disparity", "camera")):
    stem = f"{split}/{city}/{city}_{number:06d}_000019"
    files = {"leftImg8bit": "leftImg8bit.png", "gtFine": "gtFine_labelIds.png", "disparity": "disparity.png"}
    arrays = {"leftImg8bit": colours(number), "gtFine": ids(), "disparity": disparity()}
    for part, ending in files.items():
        if part == "leftImg8bit" or part in parts:
            file = root / part / f"{stem}_{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(arrays[part]).save(file)
    if "camera" in parts:
        file = root / "camera" / f"{stem}_camera.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        made = {"extrinsic": {"baseline": BASELINE, "x": 1.7}, "intrinsic": {"fx": FX, "fy": FY, "u0": U, "v0": V}}
        file.write_text(json.dumps(made))


def colours(number):
    return np.random.default_rng(number).integers(0, 255, (H, W, 3), np.uint8)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "cityscapes"
    for number, (split, city) in enumerate([("train", "aachen"), ("train", "bochum"), ("val", "lindau")]):
        write_image(root, split, city, number)
    return root


def test_examples_are_canonical(root):
    data = cityscapes(str(root))
    assert isinstance(data, DataSet)
    train = data.split("train")
    assert (len(train), len(data.split("validation"))) == (2, 1)
    example = train[1]
    assert example.keys() == {"image", "semantic", "semantic_valid", "depth", "depth_valid", "camera"}
    np.testing.assert_array_equal(example["image"], colours(1)[None])
    for key, dtype in (("semantic", np.int32), ("depth", np.float32)):
        assert (example[key].shape, example[key].dtype) == ((1, H, W, 1), dtype)
        assert (example[f"{key}_valid"].shape, example[f"{key}_valid"].dtype) == ((1, H, W, 1), np.bool_)
        assert not example[key][~example[f"{key}_valid"]].any()


@pytest.mark.parametrize("classes", [19, 7])
def test_ids_become_train_ids_or_their_categories(root, classes):
    example = cityscapes(str(root), classes=classes).split("train")[0]
    stored = ids()[:-1]
    train_ids = np.array(TRAIN_IDS)[stored]
    known = train_ids != 255
    expected = np.where(known, train_ids if classes == 19 else np.array(CATEGORIES)[stored] - 1, 0)
    np.testing.assert_array_equal(example["semantic"][0, :-1, :, 0], expected)
    np.testing.assert_array_equal(example["semantic_valid"][0, :-1, :, 0], known)
    assert not example["semantic_valid"][0, -1].any()
    assert set(np.unique(expected)) == set(range(classes))


def test_depth_is_baseline_times_focal_length_over_disparity(root):
    example = cityscapes(str(root)).split("train")[0]
    stored = disparity().astype(np.float64)
    assert example["depth_valid"][0, 0, :3, 0].tolist() == [False, False, True]  # no measurement; infinitely far
    np.testing.assert_allclose(example["depth"][0, 0, 2, 0], BASELINE * FX, rtol=1e-6)  # a disparity of one pixel
    np.testing.assert_allclose(example["depth"][0, 1:, :, 0], BASELINE * FX / ((stored[1:] - 1) / 256), rtol=1e-6)
    near = cityscapes(str(root), max_depth=1.0).split("train")[0]
    np.testing.assert_array_equal(near["depth_valid"], example["depth_valid"] & (example["depth"] <= 1))
    assert 0 < near["depth_valid"].sum() < example["depth_valid"].sum()


def test_the_camera_has_pixel_centres_at_halves(root):
    camera = cityscapes(str(root)).split("train")[0]["camera"]
    np.testing.assert_allclose(camera["intrinsics"], [[FX, 0, U + 0.5], [0, FY, V + 0.5], [0, 0, 1]])
    assert camera["positions"].tolist() == [[0, 0, 0]]
    assert camera["quaternions"].tolist() == [[1, 0, 0, 0]]
    assert {value.dtype for value in camera.values()} == {np.dtype(np.float32)}


def test_all_is_resized_together(root):
    ramp = np.arange(H * W).reshape(H, W)[..., None] * [0.45, 0.3, 0.1]
    Image.fromarray(ramp.astype(np.uint8)).save(first(root, "*_leftImg8bit.png"))
    whole, small = (cityscapes(str(root), size=size).split("train")[0] for size in (None, (8, 16)))
    assert small["image"].shape == (1, 8, 16, 3)
    means = whole["image"].reshape(1, 8, 2, 16, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(small["image"][:, 1:-1, 1:-1], means[:, 1:-1, 1:-1], atol=1)
    for key in ("semantic", "depth", "semantic_valid", "depth_valid"):
        np.testing.assert_array_equal(small[key], whole[key][:, 1::2, 1::2])
    halved = whole["camera"]["intrinsics"] * np.array([[0.5], [0.5], [1]])
    np.testing.assert_allclose(small["camera"]["intrinsics"], halved)


def test_what_is_not_there_is_not_read(tmp_path):
    write_image(tmp_path / "a", "train", "ulm", 0, parts=["gtFine"])
    assert cityscapes(str(tmp_path / "a")).split("train")[0].keys() == {"image", "semantic", "semantic_valid"}
    write_image(tmp_path / "b", "train", "ulm", 0, parts=["disparity", "camera"])
    assert cityscapes(str(tmp_path / "b")).split("train")[0].keys() == {"image", "depth", "depth_valid", "camera"}


def first(root, pattern):
    return next(iter(sorted(root.rglob(pattern))))


def truncate(root):
    file = first(root, "*_leftImg8bit.png")
    file.write_bytes(file.read_bytes()[:50])


def camera(**other):
    """Writes numbers of a camera as they stand in text."""
    texts = {"baseline": str(BASELINE), "fx": str(FX), "fy": str(FY), "u0": str(U), "v0": str(V)} | other

    def harm(root):
        inner = ", ".join(f'"{key}": {text}' for key, text in texts.items()).replace("nan", "NaN")
        first(root, "*.json").write_text(f'{{"extrinsic": {{{inner}}}, "intrinsic": {{{inner}}}}}')

    return harm


def enlarge(factor):
    """All pictures of another size, beside the camera of the former ones."""

    def harm(root):
        for file in root.rglob("*.png"):
            with Image.open(file) as picture:
                picture.resize((int(W * factor), int(H * factor)), 0).save(file)

    return harm


def put(pattern, array):
    return lambda root: Image.fromarray(array).save(first(root, pattern))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, r"Cityscapes folder '.*cityscapes' does not exist"),
        (lambda r: shutil.rmtree(r / "leftImg8bit" / "train"), r"train' has no images; expected CITY/\*_leftImg8bit"),
        (lambda r: shutil.rmtree(r / "camera"), r"has disparity without camera"),
        (lambda r: [shutil.rmtree(r / p) for p in ("camera", "disparity", "gtFine")], r"has images alone"),
        (
            lambda r: first(r, "*labelIds*").unlink(),
            r"half copied: it lacks gtFine/train/aachen/aachen_000000_000019_gt",
        ),
        (truncate, r"aachen_000000_000019_leftImg8bit.png' does not decode"),
        (put("*labelIds*", np.full((H, W), 40, np.uint8)), r"labelIds.png' holds the id 40; expected 0 .. 33"),
        (put("*labelIds*", np.zeros((H, W, 3), np.uint8)), r"labelIds.png' has mode RGB; expected 8 bit grey"),
        (put("*labelIds*", np.zeros((H, 8), np.uint8)), r"labelIds.png' is 8 x 16 pixels; its image is 32 x 16"),
        (put("*disparity.png", np.zeros((H, W), np.uint8)), r"disparity.png' has mode L; expected 16 bit grey"),
        (put("*disparity.png", np.zeros((8, W), np.uint16)), r"disparity.png' is 32 x 8 pixels; its image is 32 x 16"),
        (camera(fx="nan"), r"camera.json' cannot be read .*'nan' is no finite number"),
        (camera(u0="Infinity"), r"camera.json' cannot be read .*'inf' is no finite number"),
        (camera(fy="true"), r"camera.json' cannot be read .*'True' is no number"),
        (camera(fx="0"), r"camera.json' has fx, fy, baseline = 0, 36.5, 0.209313; expected above 0"),
        (camera(baseline="-1"), r"camera.json' has fx, fy, baseline = 36, 36.5, -1; expected above 0"),
        (enlarge(2), r"camera.json' is of another resolution .*\(17.5, 8.5\) for images of 64 x 32 pixels"),
        (enlarge(0.25), r"camera.json' is of another resolution than the images"),
        (lambda r: first(r, "*.json").write_text('{"intrinsic": {}}'), r"camera.json' cannot be read .*'fx'.*baseline"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(root, harm, message):
    harm(root)
    with pytest.raises(UserError, match=message):
        list(cityscapes(str(root)).split("train"))


def test_mistakes_in_arguments_are_named(root):
    with pytest.raises(UserError, match=r"classes=8\): expected 19 or 7"):
        cityscapes(str(root), classes=8)
    with pytest.raises(UserError, match=r"max_depth=0\): expected metres above 0"):
        cityscapes(str(root), max_depth=0)
    with pytest.raises(UserError, match=r"size=\(128,\): expected \(height, width\)"):
        cityscapes(str(root), size=(128,))
    with pytest.raises(UserError, match=r"split of cityscapes: 'test'"):
        cityscapes(str(root)).split("test")
