"""MOTChallenge folders: what is read, and what is said of folders that are not as they should be."""

import numpy as np
import pytest

from mtljax.data import check
from mtljax.data.reading.mot import read_boxes, read_info
from mtljax.data.sources.mot import mot
from mtljax.errors import UserError
from tests.data.sources.objects import TRUTH, H, W, write_sequence


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "train"
    for name in ("A", "B"):
        write_sequence(root / name)
    return root


def test_halves_train_and_validate(made):
    data = mot(str(made), ["A", "B"], stride=2, size=(H, W), objects=4)
    assert data.name == "mot/train"
    index = [[one["frame_index"].tolist() for one in data.split(name)] for name in ("train", "validation")]
    assert index == [[[0, 1], [2, 3], [9, 10], [11, 12]], [[4, 5], [6, 7], [13, 14], [15, 16]]]
    assert [int(one["sequence"]) for one in data.split("train")] == [0, 0, 1, 1]
    assert data.split("validation")[0]["image"][:, 0, 0, 0].tolist() == [15, 16]
    check(data)


def test_clips_overlap_by_a_frame(made):
    source = mot(str(made), ["A", "B"], frames=3, size=(H, W), objects=4).split("train")
    assert [one["frame_index"].tolist() for one in source] == [[0, 1, 2], [9, 10, 11]]
    source = mot(str(made), ["A"], size=(H, W), objects=4).split("train")
    assert [one["frame_index"].tolist() for one in source] == [[0, 1], [1, 2], [2, 3]]
    for wrong in (0, 3, "1"):
        with pytest.raises(UserError, match="a whole number from 1 to frames=2"):
            mot(str(made), ["A"], stride=wrong)


def test_pedestrians_are_tracked(made):
    first, second = [*mot(str(made), ["A"], stride=2, size=(H, W), objects=4).split("train")]
    assert first["instances"]["id"].tolist() == [2, 7, 9, 0]
    assert first["instances_valid"].tolist() == [True, True, True, False]
    np.testing.assert_allclose(first["instances"]["bboxes"][1] * [H, W, H, W], [[2, 4, 14, 12], [2, 6, 14, 14]])
    # Partly outside it is clipped, wholly outside it is not there; a reflection of confidence 0 is of no use.
    np.testing.assert_allclose(first["instances"]["bboxes"][0] * [H, W, H, W], [[2, 36, 14, 40], [0] * 4])
    assert first["instances"]["ignored"].tolist() == [[False, False], [False, False], [False, True], [False, False]]
    assert second["instances"]["id"].tolist() == [7, 9, 0, 0]
    assert second["instances"]["ignored"][1].tolist() == [True, False]  # a car is left out
    assert second["objects_valid"].all()


def test_of_the_first_challenge_all_rows_are_pedestrians(tmp_path):
    rows = ["1,1,5,3,8,12,1,4.4,5.5,0", "1,2,15,3,8,12,0,-1,-1,-1", "2,1,6,3,8,12,1,4.4,5.5,0"]
    folder = write_sequence(tmp_path / "TUD", rows)
    example = mot(str(tmp_path), [folder.name]).split("train")[0]
    assert example["instances"]["ignored"][:2].tolist() == [[False, False], [True, False]]
    assert example["instances_valid"].sum() == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3,7,1,1,4", "5 columns; expected at least frame, id, left, top, width, height"),
        ("3,4,1,one,4,4,1,1,1", "'one' is no number"),
        ("0,4,1,1,4,4,1,1,1", "frame 0; expected 1 to seqLength=8"),
        ("9,4,1,1,4,4,1,1,1", "frame 9; expected 1 to seqLength=8"),
        ("2.5,4,1,1,4,4,1,1,1", "frame 2.5; expected a whole number"),
        ("2,7,1,1,4,4,1,1,1", "id 7 is in frame 2 already, in line 2"),
        ("2,4294967303,1,1,4,4,1,1,1", "id 4.29497e\\+09; expected a whole number of 32 bits"),  # 7, in 32 bits
        ("3,4,1,1,4,4,1", "7 columns; expected 9, as the first row has"),  # and so no class
        ("3,4,1,1,0,4,1,1,1", "width 0 and height 4; expected more than 0"),
    ],
)
def test_faults_of_rows(tmp_path, row, message):
    write_sequence(tmp_path / "A", [*TRUTH, row])
    with pytest.raises(UserError, match=rf"A/gt/gt.txt', line 10: {message}"):
        mot(str(tmp_path), ["A"]).split("train")


def test_faults_of_folders(tmp_path):
    for key in ("imExt", "seqLength"):
        with pytest.raises(UserError, match=rf"seqinfo.ini': no {key} in \[Sequence\]; expected MOTChallenge's layout"):
            read_info(write_sequence(tmp_path / key, lacking=(key,)))
    (write_sequence(tmp_path / "A") / "img1" / "000003.png").unlink()
    with pytest.raises(UserError, match=r"A': 7 images in img1; seqLength=8"):
        mot(str(tmp_path), ["A"]).split("train")
    (tmp_path / "A" / "seqinfo.ini").unlink()
    with pytest.raises(
        UserError, match=r"A': no seqinfo.ini; expected MOTChallenge's layout: seqinfo.ini, img1/, gt/gt.txt"
    ):
        mot(str(tmp_path), ["A"]).split("train")
    with pytest.raises(UserError, match="MOT sequence"):
        mot(str(tmp_path), ["AB"]).split("train")
    write_sequence(tmp_path / "B")
    with pytest.raises(UserError, match="4 frames for train: too few for clips of 5"):
        mot(str(tmp_path), ["B"], frames=5).split("train")
    with pytest.raises(UserError, match=r"B', frame 1: 3 objects; expected at most 2: objects=3 takes them"):
        mot(str(tmp_path), ["B"], objects=2).split("train")[0]
    for wrong in ("MOT17-02", []):
        with pytest.raises(UserError, match="expected some sequences"):
            mot(str(tmp_path), wrong)


def test_real_rows(shared):
    folder = shared / "golden" / "objects" / "mot15" / "train"
    found = read_boxes(folder / "results" / "TUD-Campus.txt", 71)
    assert len(found.id) == 222  # matches and false detections of the golden figures
    assert found.more.shape == (222, 4)
    detections = read_boxes(folder / "TUD-Campus" / "gt" / "gt.txt", 71, ids=False)
    assert len(detections.id) == 359
