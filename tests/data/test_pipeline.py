"""Batches: order, repetition, resuming, padding."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from mtljax.data import augment, pipeline
from mtljax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Examples that know their index."""

    size: int

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        label = np.full((1, 2, 2, 1), index, np.float32)
        return {
            "image": np.full((1, 2, 2, 3), index, np.uint8),
            "depth": label,
            "depth_valid": np.ones(label.shape, bool),
            "other": np.int32(index),
            "other_valid": np.array(True),
            "camera": {"positions": np.zeros((1, 3), np.float32)},
        }


def numbers(batch):
    return [int(x) for x in batch["depth"][:, 0, 0, 0, 0]]


def flat(batches):
    return [number for batch in batches for number in batch]


def taken(iterator, count):
    return [numbers(next(iterator)) for _ in range(count)]


def test_every_epoch_has_each_example_once_in_an_order_of_its_own():
    order = flat(taken(pipeline.train_batches(Numbers(12), 4, seed=0), 6))
    first, second = order[:12], order[12:]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert first != list(range(12))


def test_the_seed_and_nothing_else_decides_the_order():
    batches = [taken(pipeline.train_batches(Numbers(12), 4, seed=s, num_threads=t), 4) for s, t in ((0, 1), (0, 3))]
    assert batches[0] == batches[1]
    assert batches[0] != taken(pipeline.train_batches(Numbers(12), 4, seed=1), 4)


@functools.cache
def whole_run():
    """Eight batches of four of ten examples."""
    return taken(pipeline.train_batches(Numbers(10), 4, seed=3), 8)


def test_a_restored_iterator_goes_on_where_it_was():
    first = pipeline.train_batches(Numbers(10), 4, seed=3)
    again = pipeline.train_batches(Numbers(10), 4, seed=3)
    seen = 0
    for after in (1, 2, 5):
        taken(first, after - seen)
        seen = after
        again.set_state(first.get_state())
        assert taken(again, 2) == whole_run()[after : after + 2]


@pytest.mark.parametrize("count", [2, 3])
def test_the_batches_of_all_hosts_together_are_those_of_one(count):
    parts = [taken(pipeline.train_batches(Numbers(18), 6 // count, seed=0, shard=(i, count)), 6) for i in range(count)]
    whole = taken(pipeline.train_batches(Numbers(18), 6, seed=0), 6)
    assert [sorted(flat(batches)) for batches in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]
    held = [list(pipeline.eval_batches(Numbers(10), 6 // count, shard=(i, count))) for i in range(count)]
    seen = [n for part in held for b in part for n, real in zip(numbers(b), b["example_valid"], strict=True) if real]
    assert sorted(seen) == list(range(10))
    assert [len(part) for part in held] == [2] * count


def test_a_start_leaves_out_what_was_seen():
    whole = flat(whole_run())
    assert flat(taken(pipeline.train_batches(Numbers(10), 4, seed=3, start=12), 5)) == whole[12:]
    halves = [taken(pipeline.train_batches(Numbers(10), 2, seed=3, start=12, shard=(i, 2)), 5) for i in (0, 1)]
    assert sorted(flat(halves[0]) + flat(halves[1])) == sorted(whole[12:])


def drawing(example, rng):
    """An augmentation that shows what it drew."""
    assert example.keys() <= {"image", "depth", "depth_valid", "camera"}
    return example | {"image": example["image"].astype(np.float32) + np.float32(rng.random())}


DRAWING = augment.Augmentation("drawing()", drawing)


def drawn(iterator, count):
    """What was drawn for each example: (number, draw)."""
    batches = [next(iterator) for _ in range(count)]
    return [
        (number, round(float(image.flat[0]) - number, 5))
        for batch in batches
        for number, image in zip(numbers(batch), batch["image"], strict=True)
    ]


def augmented(batch_size, **given):
    return pipeline.train_batches(
        Numbers(10), batch_size, **({"seed": 3, "keep": ("depth",), "augment": DRAWING} | given)
    )


def test_what_is_drawn_depends_on_the_seed_and_the_position_alone():
    whole = drawn(augmented(4), 8)
    assert [number for number, _ in whole] == flat(whole_run())
    assert len({draw for _, draw in whole}) == 32  # afresh in each epoch
    assert drawn(augmented(4, num_threads=5, prefetch=1), 8) == whole
    assert drawn(augmented(2), 16) == whole
    assert drawn(augmented(4, start=13), 4) == whole[13:29]
    halves = [drawn(augmented(2, start=12, shard=(i, 2)), 5) for i in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(whole[12:])
    assert {draw for _, draw in drawn(augmented(4, seed=4), 8)}.isdisjoint({draw for _, draw in whole})
    restored = augmented(4)
    first = augmented(4)
    drawn(first, 3)
    restored.set_state(first.get_state())
    assert drawn(restored, 5) == whole[12:]


def test_boxes_are_told_by_the_map_of_objects_though_no_task_reads_it():
    ids = np.zeros((1, 4, 4, 1), np.uint8)
    ids[:, 0, 0] = ids[:, 3, 3] = 1
    boxes = {"bboxes": np.array([[[0, 0, 1, 1]]], np.float32)}
    example = {"image": np.zeros((1, 4, 4, 3), np.uint8), "segmentations": ids, "instances": boxes}
    given = pipeline.train_batches([example] * 4, 2, seed=0, keep=("instances",), augment=augment.crop(3, 3))
    batch = next(given)
    assert batch.keys() == {"image", "instances"}
    for box in batch["instances"]["bboxes"][:, 0, 0] * 3:
        assert box.round(4).tolist() in ([0, 0, 0, 0], [0, 0, 1, 1], [2, 2, 3, 3])


def test_batches_hold_what_is_asked_for_in_the_form_of_the_model():
    batch = next(pipeline.train_batches(Numbers(8), 4, seed=0, keep=("depth",)))
    assert batch.keys() == {"image", "depth", "depth_valid", "camera"}
    assert batch["image"].dtype == np.float32
    np.testing.assert_allclose(batch["image"][:, 0, 0, 0, 0] * 255, numbers(batch), rtol=1e-6)
    assert batch["camera"]["positions"].shape == (4, 1, 3)


def test_raw_images_are_bytes_until_they_are_wanted_as_floats():
    given = [{"image": np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)}] * 4
    raw, floats = (next(pipeline.train_batches(given, 4, seed=0, raw=raw))["image"] for raw in (True, False))
    assert (raw.dtype, floats.dtype) == (np.uint8, np.float32)
    for convert in (pipeline.in_unit_range, jax.jit(pipeline.in_unit_range)):
        np.testing.assert_array_equal(convert({"image": raw})["image"], floats)
    assert next(pipeline.eval_batches(given, 4, raw=True))["image"].dtype == np.uint8


def test_bytes_beside_floats_are_floats():
    white = {"image": np.full((1, 2, 2, 3), 255, np.uint8)}
    both = pipeline.collate([white, {"image": np.full((1, 2, 2, 3), 0.5, np.float32)}])["image"]
    assert both.dtype == np.float32
    assert np.unique(both).tolist() == [0.5, 1.0]


def test_evaluation_sees_each_example_once_and_fills_up_with_nothing_valid():
    batches = list(pipeline.eval_batches(Numbers(10), 4, keep=("depth", "other")))
    assert len(batches) == 3
    real = np.concatenate([b["example_valid"] for b in batches])
    assert real.tolist() == [True] * 10 + [False] * 2
    seen = flat(map(numbers, batches))
    assert seen[:10] == list(range(10))
    for key in ("depth_valid", "other_valid"):
        valid = np.concatenate([b[key].reshape(4, -1) for b in batches])
        assert valid[:10].all()
        assert not valid[10:].any()


def test_mistakes_are_named():
    with pytest.raises(UserError, match="batch_size=9 is more than the 8 examples"):
        pipeline.train_batches(Numbers(8), 9, seed=0)
    with pytest.raises(UserError, match="no examples"):
        pipeline.eval_batches(Numbers(0), 2)
    with pytest.raises(UserError, match=r"shape of 'a': \(2,\) and \(3,\)"):
        pipeline.collate([{"a": np.zeros(2)}, {"a": np.zeros(3)}])
    with pytest.raises(UserError, match="differ in their keys"):
        pipeline.collate([{"a": np.zeros(2)}, {"b": np.zeros(2)}])


def test_an_error_in_a_loader_thread_arrives_as_it_was():
    class Broken(Numbers):
        def __getitem__(self, index):
            raise UserError("image 'x.png' does not decode.")

    for batches in (pipeline.train_batches(Broken(8), 2, seed=0), pipeline.eval_batches(Broken(8), 2)):
        with pytest.raises(UserError, match=r"image 'x.png' does not decode"):
            next(batches)
