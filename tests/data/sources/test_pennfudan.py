"""PennFudan folders: what is read, and what is said of folders that are not as they should be."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from mtljax.data import check
from mtljax.data.sources.pennfudan import pennfudan
from mtljax.errors import UserError
from tests.data.sources.objects import H, W, write_pedestrians


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_pedestrians(tmp_path_factory.mktemp("made") / "pedestrians")


def test_every_fifth_is_held_out(made):
    data = pennfudan(str(made), size=(H, W))
    assert data.name == "pennfudan/pedestrians"
    shades = [[one["image"][0, 0, 0, 0] - 10 for one in data.split(name)] for name in ("train", "validation")]
    assert shades == [[0, 1, 2, 3, 5, 6, 7, 8], [4, 9]]
    check(data)


def test_pedestrians_are_objects(made):
    example = pennfudan(str(made), size=(H, W), objects=4).split("train")[2]
    assert example["segmentations"].dtype == np.uint8
    np.testing.assert_array_equal(example["instances_valid"], [True, True, True, False])
    assert example["objects_valid"].tolist() == [True]
    instances = example["instances"]
    np.testing.assert_allclose(instances["bboxes"][1, 0], [4 / H, 12 / W, 16 / H, 14 / W])
    assert instances["visibility"][:, 0].tolist() == [24, 24, 24, 0]
    assert instances["category"].tolist() == [1, 1, 1, 0]
    assert not instances["ignored"].any()
    np.testing.assert_array_equal(example["semantic"][..., 0] == 1, example["segmentations"][..., 0] > 0)


def test_images_keep_their_aspect(made):
    example = pennfudan(str(made), size=(20, 20)).split("train")[0]
    assert example["image"].shape == (1, 20, 20, 3)
    assert (example["image"][0, :, 0, 0] > 0).tolist() == [False] * 4 + [True] * 12 + [False] * 4
    rows, columns = np.nonzero(example["segmentations"][0, ..., 0])
    np.testing.assert_allclose(
        example["instances"]["bboxes"][0, 0] * 20, [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    )
    assert (rows.max() + 1 - rows.min()) == 6  # twelve rows, halved
    assert not example["semantic_valid"][0, 0].any()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda root: (root / "PedMasks" / "Ped00003_mask.png").unlink(),
            r"Ped00003.png' has no mask; expected '.*Ped00003_mask.png'",
        ),
        (lambda root: shutil.rmtree(root / "PedMasks"), "is half copied: it lacks PedMasks"),
        (lambda root: shutil.rmtree(root), "pennfudan folder"),
    ],
)
def test_faults_of_folders(made, tmp_path, harm, message):
    folder = shutil.copytree(made, tmp_path / "pedestrians")
    harm(folder)
    with pytest.raises(UserError, match=message):
        pennfudan(str(folder)).split("train")


def test_faults_of_images(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "pedestrians")
    Image.fromarray(np.zeros((H, W + 1), np.uint8)).save(folder / "PedMasks" / "Ped00000_mask.png")
    Image.fromarray(np.full((H, W), 2, np.uint8)).save(folder / "PedMasks" / "Ped00001_mask.png")
    source = pennfudan(str(folder), objects=2).split("train")
    with pytest.raises(UserError, match=r"Ped00000_mask.png' is 41 x 24 pixels; its image is 40 x 24"):
        source[0]
    with pytest.raises(UserError, match=r"Ped00001_mask.png' has ids up to 2 but no 1; expected no gap"):
        source[1]
    with pytest.raises(UserError, match=r"Ped00002.png': 3 objects; expected at most 2: objects=3 takes them"):
        source[2]
    for objects in (0, 300, True):
        with pytest.raises(UserError, match="expected a whole number from 1 to 255"):
            pennfudan(str(folder), objects=objects)


@pytest.mark.slow
def test_the_real_ones(shared):
    data = pennfudan(str(shared / "data" / "pennfudan"))
    check(data)
    assert [len(data.split(name)) for name in ("train", "validation")] == [104, 26]


def test_examples_are_kept_while_there_is_room(tmp_path):
    root = write_pedestrians(tmp_path / "made")
    kept, few, none = (pennfudan(str(root), (H, W), cache_mb=n).split("train") for n in (1, 1, 0))
    first, again = kept[0], kept[0]
    assert again is not first
    assert again["image"] is first["image"]
    assert not first["segmentations"].flags.writeable
    few._kept._bytes = 10**6 - 1
    assert few[0]["image"] is not few[0]["image"]
    assert none[0]["segmentations"].flags.writeable
    assert pickle.loads(pickle.dumps(kept))._kept.examples == {}
    with pytest.raises(UserError, match=r"cache_mb=-1\): expected a whole number"):
        pennfudan(str(root), cache_mb=-1)
