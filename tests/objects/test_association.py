"""Association: golden ids, a plain-Python one on random clips, gaps, ties, what is no number."""

import jax
import numpy as np
import pytest

from mtljax.objects.association import associate
from tests.tasks import golden

run = jax.jit(associate)


def plainly(boxes, scores, offsets, found=0.3, born=0.4, unseen=3):
    """The same, with a list of tracks."""
    tracks, ids, last = [], np.zeros(scores.shape, int), 0
    for frame in range(len(scores)):
        taken, new = set(), []
        for slot in sorted(range(len(scores[frame])), key=lambda k: -scores[frame, k]):
            if scores[frame, slot] < found:
                continue
            box = boxes[frame, slot]
            centre, area = (box[:2] + box[2:]) / 2, np.prod(box[2:] - box[:2])
            there = []
            for number, track in enumerate(tracks):
                square = np.sum((centre + offsets[frame, slot] - track["centre"]) ** 2)
                if number not in taken and square <= min(area, track["area"]) and frame - track["seen"] <= unseen + 1:
                    there.append((square, number))
            if there:
                taken.add(min(there)[1])
                own = tracks[min(there)[1]]["id"]
            elif scores[frame, slot] > born:
                last += 1
                own = last
            else:
                continue
            ids[frame, slot] = own
            new.append({"id": own, "centre": centre, "area": area, "seen": frame})
        tracks = [track for number, track in enumerate(tracks) if number not in taken] + new
    return ids


def clip(rng, frames=12, slots=6):
    centre = rng.uniform(0, 30, (frames, slots, 2))
    half = rng.uniform(2, 7, (frames, slots, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)
    scores = rng.choice([0.1, 0.3, 0.35, 0.4, 0.41, 0.9, 0.9, 0.95], (frames, slots)).astype(np.float32)
    return boxes, scores, rng.normal(0, 3, (frames, slots, 2)).astype(np.float32)


def test_golden_ids(shared):
    given = golden.read(shared, "maps.json")
    rows = np.zeros((12, 6, 7), np.float32)  # the shape of all clips here: one compilation
    ids = np.zeros(rows.shape[:2], int)
    for frame, (found, own) in enumerate(zip(given["frames"]["detections"], given["expected"]["ids"], strict=True)):
        rows[frame, : len(found)], ids[frame, : len(own)] = found, own
    centre, half = rows[..., 1:3], rows[..., 3:5] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=-1)
    np.testing.assert_array_equal(run(boxes, rows[..., 0], rows[..., 5:]), ids)


def test_it_is_as_plain_python_on_random_clips():
    rng = np.random.default_rng(0)
    met = 0
    for _ in range(40):
        given = clip(rng)
        expected = plainly(*given)
        np.testing.assert_array_equal(run(*given), expected)
        met += expected.max() < np.count_nonzero(expected)
    assert met == 40  # tracks go on in each


def test_slots_may_come_in_any_order():
    boxes, scores, offsets = clip(np.random.default_rng(1))
    scores += np.random.default_rng(2).uniform(0, 0.001, scores.shape).astype(np.float32)  # no ties
    order = np.random.default_rng(3).permutation(scores.shape[1])
    np.testing.assert_array_equal(
        run(boxes, scores, offsets)[:, order], run(*(x[:, order] for x in (boxes, scores, offsets)))
    )


@pytest.mark.parametrize(("gap", "last"), [(3, 1), (4, 2)])
def test_a_track_ends_after_three_frames_unseen(gap, last):
    boxes, scores, offsets = np.zeros((12, 6, 4)), np.zeros((12, 6)), np.zeros((12, 6, 2))
    boxes[..., 2:] = 4
    scores[[0, gap + 1], 0] = 0.9
    assert run(boxes, scores, offsets)[gap + 1, 0] == last


def test_what_is_no_number_is_nobody():
    boxes, scores, offsets = clip(np.random.default_rng(4))
    scores[:, 0] = 0
    expected = run(boxes, scores, offsets)
    boxes[:, 0], scores[:, 0] = np.nan, np.nan
    np.testing.assert_array_equal(run(boxes, scores, offsets), expected)
    assert not expected[:, 0].any()
    assert expected.any()
