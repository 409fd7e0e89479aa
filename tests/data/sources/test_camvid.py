"""CamVid folders: what is read, and what is said of folders that are not as they should be."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mtljax.data import camvid
from mtljax.data.sources.camvid import CLASSES
from mtljax.errors import UserError
from tests.data.sources.streets import H, W, classes, write_streets


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_streets(tmp_path_factory.mktemp("made") / "streets")


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "streets")


def brightness(clip):
    return (clip["image"][:, 0, 0, 0] // 20).tolist()


def test_clips_are_consecutive_files_of_one_sequence(made):
    assert [brightness(clip) for clip in camvid(str(made)).split("train")] == [[i] for i in range(8)]
    pairs = camvid(str(made), frames=2)
    assert [brightness(clip) for clip in pairs.split("train")] == [[0, 1], [2, 3], [5, 6]]
    assert [brightness(clip) for clip in pairs.split("validation")] == [[0, 1]]
    assert pairs.name == "camvid/streets"


def test_examples_are_canonical_and_void_is_not_valid(made):
    example = camvid(str(made), frames=2).split("train")[1]
    for key, shape, dtype in (
        ("image", (2, H, W, 3), np.uint8),
        ("semantic", (2, H, W, 1), np.int32),
        ("semantic_valid", (2, H, W, 1), np.bool_),
        ("edge", (2, H, W, 1), np.uint8),
        ("edge_valid", (2, H, W, 1), np.bool_),
    ):
        assert (example[key].shape, example[key].dtype) == (shape, dtype), key
    truth = np.stack([classes(2), classes(3)])[..., None]
    np.testing.assert_array_equal(example["semantic_valid"], truth != 11)
    np.testing.assert_array_equal(example["semantic"], np.where(truth == 11, 0, truth))


def test_edges_are_changes_of_class_to_a_4_neighbour(made):
    ids = classes(2)
    wanted, known = np.zeros((H, W), np.uint8), np.ones((H, W), bool)
    for y, x in np.ndindex(H, W):
        cross = [(y, x), *((y + dy, x + dx) for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)))]
        there = [ids[at] for at in cross if 0 <= at[0] < H and 0 <= at[1] < W]
        known[y, x] = 11 not in there
        wanted[y, x] = known[y, x] and len(set(there)) > 1
    example = camvid(str(made)).split("train")[2]
    np.testing.assert_array_equal(example["edge"][0, ..., 0], wanted)
    np.testing.assert_array_equal(example["edge_valid"][0, ..., 0], known)
    assert 20 < wanted.sum() < 60


def test_real_streets(shared):
    folder = shared / "data" / "camvid"
    if not folder.is_dir():
        pytest.skip("needs shared/data/camvid")
    data = camvid(str(folder))
    assert [len(data.split(s)) for s in ("train", "validation")] == [367, 101]
    seen = np.zeros(len(CLASSES), int)
    for index in range(0, 367, 40):
        example = data.split("train")[index]
        assert example["image"].shape == (1, 120, 160, 3)
        assert 0.8 < example["semantic_valid"].mean() <= 1
        assert 0.05 < example["edge"][example["edge_valid"]].mean() < 0.4
        seen += np.bincount(example["semantic"][example["semantic_valid"]], minlength=len(CLASSES))
    share = dict(zip(CLASSES, seen / seen.sum(), strict=True))
    assert min(share.values()) > 0
    assert min(share["road"], share["building"], share["sky"]) > 0.1


def annotate(folder, ids):
    Image.fromarray(ids).save(folder / "trainannot" / "a_002.png")


def unfinished(folder):
    for part in ("train", "trainannot"):
        shutil.rmtree(folder / part)


def truncate(folder):
    file = folder / "trainannot" / "a_002.png"
    file.write_bytes(file.read_bytes()[:30])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, r"camvid folder '.*streets' does not exist"),
        (lambda f: f.rename(f.parent / "street"), r"unknown camvid folder in .*'streets'; did you mean 'street'"),
        (lambda f: shutil.rmtree(f / "trainannot"), r"half copied: it lacks trainannot\."),
        (unfinished, r"half copied: it lacks train, trainannot\."),
        (lambda f: [p.unlink() for p in f.glob("train*/*")], r"camvid folder '.*train' has no images"),
        (lambda f: (f / "trainannot" / "a_002.png").unlink(), r"half copied: it lacks trainannot/a_002.png"),
        (lambda f: [p.unlink() for p in f.glob("train/*")], r"lacks train/a_000.png, .*train/a_002.png and 5 more"),
        (lambda f: annotate(f, classes(2) + 1), r"a_002.png' holds the class 12; expected 0 to 10, or 11 for void"),
        (lambda f: annotate(f, classes(2)[:6]), r"annotation '.*a_002.png' is 16 x 6 pixels; its image is 16 x 12"),
        (lambda f: annotate(f, np.zeros((H, W, 3), np.uint8)), r"a_002.png' has mode RGB; expected 8 bit class ids"),
        (truncate, r"a_002.png' does not decode"),
        (lambda f: (f / "train" / "a_002.png").write_text("x"), r"train/a_002.png' does not decode"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_with_the_file(folder, spoil, message):
    spoil(folder)
    with pytest.raises(UserError, match=message):
        list(camvid(str(folder)).split("train"))


def test_frames_of_a_clip_that_differ_in_size_are_refused(folder):
    for part in ("train", "trainannot"):
        with Image.open(folder / part / "a_001.png") as image:
            image.resize((8, 8)).save(folder / part / "a_001.png")
    with pytest.raises(UserError, match=r"frames of '.*train' differ in size"):
        camvid(str(folder), frames=2).split("train")[0]


def test_mistakes_in_arguments_are_named(made):
    with pytest.raises(UserError, match=r"frames=0.*at least 1"):
        camvid(str(made), frames=0)
    with pytest.raises(UserError, match=r"split of .*'val'.*Known: train, validation"):
        camvid(str(made)).split("val")
    with pytest.raises(UserError, match=r"val' has no sequence of 3 images"):
        camvid(str(made), frames=3).split("validation")
