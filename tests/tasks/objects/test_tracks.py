"""Tracks of clips that are joined, and what an offset of 0 makes of objects that move fast."""

import numpy as np
import pytest

import mtljax as mtl
from mtljax.objects.frames import in_frames
from mtljax.tasks.metrics.objects.tracking.figures import tracking_figures
from mtljax.tasks.objects.joining import sequences
from mtljax.tasks.objects.rows import once, shared
from mtljax.train.run.evaluate import Accumulator

CLIPS = {"place": np.arange(3), "first": np.array([0, 2, 9]), "last": np.array([2, 4, 11]), "sequence": np.zeros(3)}
TASK = mtl.tasks.track(stride=1)


def fast():
    """Two objects of 10 pixels that move by 8 a frame, the second a step ahead, over three frames."""
    left = 8 * np.arange(3)[None, :] + np.array([[0], [8]])
    boxes = np.stack([np.full_like(left, 4), left, np.full_like(left, 14), left + 10], axis=-1) / np.array([32, 64] * 2)
    batch = {
        "image": np.zeros((1, 3, 32, 64, 3), np.float32),
        "instances": {"bboxes": boxes[None].astype(np.float32), "category": np.ones((1, 2), np.int32)},
        "instances_valid": np.ones((1, 2), bool),
        "place": np.zeros(1, int),
    }
    found = in_frames(batch, 1)
    cell = np.asarray(found.boxes[..., :2], int)
    decoded = {"boxes": np.asarray(found.boxes), "score": np.full((1, 3, 2), 0.9), "cell": cell}
    return batch, decoded | {"ids": np.broadcast_to([1, 2], (1, 3, 2)), "probability": np.ones((1, 3, 2, 1))}


def test_the_baseline_of_tracks_looks_for_objects_where_they_are():
    batch, decoded = fast()
    found = {}
    for name, prediction in (("true", decoded), ("still", TASK.baseline(batch)({"track": decoded}, batch))):
        gathered = Accumulator({"track": TASK})
        gathered.add({"track": {"total": 0.0, "count": 0.0, "sums": {}}}, {"track": prediction}, batch)
        found[name] = gathered.figures()
    assert (found["true"]["track/IDSW"], found["true"]["track/HOTA"]) == (0, 1)
    assert found["still"]["track/IDSW"] >= 2
    assert found["still"]["track/MOTA"] < 1


def rows(**changes):
    """One object through two clips that share frame 2, whose track is named anew in the second; and one alone."""
    place = np.array([0, 0, 0, 1, 1, 1, 2])
    frame = np.array([0, 1, 2, 0, 1, 2, 1])
    box = np.stack([np.array([0.0, 1, 2, 2, 3, 4, 0]), np.zeros(7), np.full(7, 9.0), np.full(7, 9.0)], axis=1)
    return {"place": place, "frame": frame, "box": box, "ignored": np.zeros(7, bool), **changes}


def test_clips_that_share_a_frame_are_one_sequence_and_tracks_go_on_with_their_names():
    found = list(sequences(rows(id=np.full(7, 5)), rows(id=np.array([1, 1, 1, 7, 7, 7, 1])), CLIPS))
    assert [len(truth.id) for truth, _ in found] == [5, 1]
    assert list(found[0][1].frame) == [0, 1, 2, 3, 4]
    figures = tracking_figures(found)
    assert (figures["IDSW"], figures["HOTA"]) == (0, 1)


def test_a_track_that_the_shared_frame_does_not_show_begins_anew():
    other = rows(id=np.array([1, 1, 1, 1, 1, 1, 1]))
    other["box"] = other["box"] + np.where((other["place"] == 1) & (other["frame"] == 0), 0.5, 0)[:, None]
    [(truth, found), _] = sequences(rows(id=np.full(7, 5)), other, CLIPS)
    assert len(set(found.id)) == 2
    assert tracking_figures([(truth, found)])["IDSW"] == 1


def test_two_tracks_of_one_box_keep_two_names_where_clips_meet():
    """As a heat map for each class finds an object twice."""
    twice = {key: np.repeat(x, 2, axis=0) for key, x in rows().items()}
    [(_, found), _] = sequences(rows(id=np.full(7, 5)), twice | {"id": np.tile([1, 2], 7)}, CLIPS)
    assert sorted(found.id) == [1] * 5 + [2] * 5


def test_a_track_goes_on_where_rounding_moves_its_box():
    other = rows(id=np.array([1, 1, 1, 7, 7, 7, 1]))
    other["box"] = other["box"] + np.where((other["place"] == 1) & (other["frame"] == 0), 1e-5, 0)[:, None]
    [(_, found), _] = sequences(rows(id=np.full(7, 5)), other, CLIPS)
    assert len(set(found.id)) == 1


def test_objects_of_a_set_without_ids_are_told_apart_by_their_places():
    """In a mix with a set that has some, they are zeros."""
    batch, decoded = fast()
    named = {**batch, "instances": {**batch["instances"], "id": np.zeros((1, 2), np.int32)}}
    assert TASK.host_rows(decoded, named)["truth"]["id"].tolist() == [0, 1] * 3
    named["instances"]["id"] = np.array([[4, 9]], np.int32)
    assert TASK.host_rows(decoded, named)["truth"]["id"].tolist() == [4, 9] * 3


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, 1),
        ({"first": np.array([0, 1, 9]), "last": np.array([2, 3, 11])}, 2),
        ({"first": np.array([0, 3, 9]), "last": np.array([2, 5, 11])}, 0),
        ({"first": np.array([1, 0, 9]), "last": np.array([3, 2, 11])}, 0),
        ({"sequence": np.array([0, 1, 1])}, 0),
        ({"first": np.full(3, -1)}, 0),
        ({"place": np.array([0, 2, 3])}, 0),
    ],
    ids=["one", "two", "next", "backwards", "sequences", "unknown", "apart"],
)
def test_how_many_frames_a_clip_has_of_the_one_before(changes, number):
    assert list(shared({**CLIPS, **changes})) == [0, number, 0]


# Clips of four frames of one object from frame 0, 1 and 3 on, whose track is named anew in each.
CLOSE = {"place": np.arange(3), "first": np.array([0, 1, 3]), "last": np.array([3, 4, 6]), "sequence": np.zeros(3)}


def close(names=(1, 1, 1)):
    place, frame = np.divmod(np.arange(12), 4)
    left = (CLOSE["first"][place] + frame).astype(float)
    box = np.stack([left, np.zeros(12), left + 9, np.full(12, 9.0)], axis=1)
    return {"place": place, "frame": frame, "box": box, "ignored": np.zeros(12, bool), "id": np.array(names)[place]}


def test_clips_that_share_several_frames_are_one_sequence_in_which_each_counts_once():
    [(truth, found)] = sequences(close((5, 5, 5)), close((3, 1, 8)), CLOSE)
    for tracks in (truth, found):
        assert list(tracks.frame) == list(range(7))
        assert list(tracks.box[:, 0]) == list(range(7))
        assert len(set(tracks.id)) == 1
    figures = tracking_figures([(truth, found)])
    assert (figures["IDSW"], figures["HOTA"], figures["TP"]) == (0, 1, 7)
    assert list(once(close(), CLOSE)["box"][:, 0]) == list(range(7))


def test_a_frame_that_the_first_clip_to_show_it_does_not_judge_counts_in_another():
    """As of paths: a clip judges the frames behind which it knows the future."""
    rows = close()
    judged = {key: x[np.isin(rows["frame"], (1, 2))] for key, x in rows.items()}
    found = once(judged, CLOSE, judged)
    assert list(found["place"]) == [0, 0, 1, 2, 2]
    assert list(found["box"][:, 0]) == [1, 2, 3, 4, 5]
    one = once({key: x[judged["frame"] == 2] for key, x in judged.items()}, CLOSE, judged)
    assert list(one["box"][:, 0]) == [2, 3, 5]  # a part of the rows, by the frames of all
    assert (
        len(once({key: x[:0] for key, x in judged.items()}, CLOSE, {key: x[:0] for key, x in judged.items()})["image"])
        == 0
    )


def test_a_frame_that_two_clips_show_counts_once():
    found = once(rows(), CLIPS)
    assert len(found["frame"]) == 6
    assert len(set(found["image"])) == 6
