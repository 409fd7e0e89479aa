"""Pictures and labels in every form that people have them in, of rows of their own."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mtljax import data
from mtljax.data import augment

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 6)).astype(np.uint8)
RGB = RNG.integers(0, 256, (10, 4, 6, 3)).astype(np.uint8)


class Tensor:
    """An array of another library."""

    def __init__(self, array):
        self._array = array
        self.shape = np.shape(array)

    def __array__(self, dtype=None, copy=None):
        return self._array


def all_of(made):
    """Every example of both splits, in the order of the rows where `place` tells it."""
    return [example for split in ("train", "validation") for example in made.split(split)]


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREY),
        GREY,
        GREY[..., None],
        np.repeat(GREY[..., None], 3, axis=-1),
        np.repeat(GREY[..., None], 3, axis=-1)[None],
        (GREY / 255).astype(np.float32),
        Tensor(GREY),
        Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)])),  # opaque
    ],
)
def test_pictures_in_any_form(image):
    found = data.from_iterable([{"image": image, "n": 1.0}] * 2).split("train")[0]["image"]
    assert found.shape == (1, 4, 6, 3)
    scale = 1 if found.dtype == np.uint8 else 255
    np.testing.assert_allclose(found[0] * scale, np.repeat(GREY[..., None], 3, axis=-1), atol=1e-4)


def test_labels_in_any_form():
    rows = [
        {"image": GREY, "age": 3, "score": [2.5], "kind": np.str_("owl"), "it": np.int64(2), "flag": True},
        {"image": GREY, "age": None, "score": np.array([np.nan]), "kind": None, "it": np.int64(-1), "flag": False},
        {"image": GREY, "age": 2.5, "score": np.float64(1), "kind": "finch", "it": Tensor(np.array([1])), "flag": None},
        {"image": GREY, "score": 4, "kind": "", "it": 0, "flag": True},
    ]
    made = data.from_iterable(rows, validation=rows[:1])
    data.check(made)
    first, second, third, fourth = made.split("train")
    assert {key: first[key].dtype.name for key in ("age", "score", "kind", "it", "flag")} == {
        "age": "float32", "score": "float32", "kind": "int32", "it": "int32", "flag": "int32",
    }  # fmt: skip
    assert all(first[key].shape == first[f"{key}_valid"].shape == () for key in ("age", "score", "kind", "it", "flag"))
    told = ("age", "score", "kind", "it", "flag")
    assert [[bool(e[f"{key}_valid"]) for key in told] for e in (first, second, third, fourth)] == [
        [True] * 5,
        [False] * 4 + [True],
        [True] * 4 + [False],
        [False, True, False, True, True],
    ]
    assert (int(first["kind"]), int(third["kind"]), float(third["age"]), int(third["it"])) == (1, 0, 2.5, 1)


def test_what_libraries_make_of_numbers_and_texts():
    """JAX's and NumPy's formats of a Hugging Face data set."""
    rows = [
        {
            "image": jnp.asarray(GREY),
            "age": jnp.float32(2.5),
            "tags": np.array(["a", "b"], object),
            "kind": jnp.int32(1),
        },
        {"image": jnp.asarray(GREY), "age": jnp.float32(np.nan), "tags": np.array(["b"]), "kind": np.int64(0)},
    ]
    first, second = data.from_iterable(rows, validation=rows).split("train")
    assert [bool(example["age_valid"]) for example in (first, second)] == [True, False]
    assert [example["tags"].tolist() for example in (first, second)] == [[1, 1], [0, 1]]


def test_arrays_as_labels_keep_the_form_of_their_name():
    points = np.array([[1.0, 2.0], [np.nan, 0.0]])
    rows = [
        {
            "image": GREY,
            "depth": np.ones((4, 6)),
            "keypoints": points,
            "pair": np.array([1.0, np.nan]),
            "tags": ["a", "b"],
        },
        {"image": GREY, "depth": None, "keypoints": None, "pair": None, "tags": []},
    ]
    made = data.from_iterable(rows, validation=rows)
    data.check(made)
    first, second = made.split("train")
    assert first["depth"].shape == second["depth_valid"].shape == (1, 4, 6, 1)
    assert (first["keypoints"].shape, first["keypoints_valid"][0, :, 0].tolist()) == ((1, 2, 2), [True, False])
    assert first["pair_valid"].tolist() == [True, False]
    assert (second["tags"].tolist(), second["tags_valid"].tolist()) == ([0, 0], [True])  # known to have none
    assert not any(second[f"{key}_valid"].any() for key in ("depth", "keypoints", "pair"))


@pytest.mark.parametrize("told", [None, {"marks": "points"}])
def test_whole_numbers_among_others_are_numbers(told):
    rows = [{"image": GREY, "marks": [[-1, 2]] if i % 2 else [[0.5, 1.0]], "pair": [-1, 2] if i % 2 else [0.5, 1.0]}
            for i in range(4)]  # fmt: skip
    for example in all_of(data.from_iterable(rows[:: -1 if told else 1], told)):
        assert example["marks"].dtype == np.float32
        assert example["marks"].ravel().tolist() in ([-1, 2], [0.5, 1])
        assert example["marks_valid"].all()
        assert told or (example["pair"].dtype, example["pair_valid"].tolist()) == (np.float32, [True, True])


def test_rows_are_kept_together_by_numbers_of_any_library():
    rows = [{"image": GREY, "n": i % 2, "who": (np.array, Tensor)[i % 2](np.array(i // 4))} for i in range(12)]
    parts = data.from_iterable(rows, {"n": int}, together="who").parts.values()
    assert {len({i // 4 for i in part.indices}) for part in parts} == {1, 2}


def test_masks_of_ones_own_are_kept():
    made = data.from_arrays({"image": RGB, "age": np.arange(10.0), "age_valid": np.arange(10) % 2 == 0}, seed=1)
    found = {int(e["image"][0, 0, 0, 0]): e for e in all_of(made)}
    for i in range(10):
        example = found[int(RGB[i, 0, 0, 0])]
        assert (bool(example["age_valid"]), float(example["age"])) == (i % 2 == 0, i * (i % 2 == 0))
    assert set(made.meanings) == set()


def test_all_pictures_get_one_size():
    rows = [{"image": RGB[i, : 3 + i % 2], "mask": np.ones((3 + i % 2, 6), int), "n": 1.0} for i in range(6)]
    made = data.from_iterable(rows, size=(2, 3))
    data.check(made)
    assert {e["image"].shape + e["mask"].shape for e in all_of(made)} == {(1, 2, 3, 3, 1, 2, 3, 1)}


def test_points_stay_where_they_are_seen():
    points = np.array([[1.0, 1.0], [5.0, 3.0], [2.0, 2.0]])
    points[2] = np.nan
    [example] = data.from_iterable([{"image": RGB[0], "keypoints": points}] * 2).split("train")
    rng = np.random.default_rng(0)
    flipped = augment.flip(p=1.0)(example, rng)
    assert flipped["keypoints"][0].tolist() == [[5, 1], [1, 3], [0, 0]]
    larger = augment.resize(8, 12)(example, rng)
    assert larger["keypoints"][0].tolist() == [[2, 2], [10, 6], [0, 0]]
    marked = example | {"image": np.zeros((1, 4, 6, 3), np.uint8)}
    marked["image"][0, [1, 3], [1, 5]] = [[1], [2]]  # at the points
    for _ in range(5):
        cropped = augment.crop(3, 4)(marked, rng)
        shown = cropped["keypoints_valid"][0, :, 0]
        assert (cropped["keypoints"][0][~shown] == 0).all()
        for i in (0, 1):
            x, y = cropped["keypoints"][0, i].astype(int)
            assert shown[i] == (cropped["image"] == i + 1).any()
            assert not shown[i] or cropped["image"][0, y, x, 0] == i + 1
