"""Stored numbers as images and labels: kept, checked, read as `decode` says, or refused; never cast to something else."""

import numpy as np
import pytest

from mtljax.data import tfds
from mtljax.data.quiet import quiet_tfds
from mtljax.data.reading import decoding
from mtljax.errors import UserError

H, W = 4, 6
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(H, W, 3))
NORMAL /= np.linalg.norm(NORMAL, axis=-1, keepdims=True)
NORMAL8 = np.round((NORMAL + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("value", "how", "wanted"),
    [
        (np.full((H, W, 3), 7, np.uint8), None, np.full((1, H, W, 3), 7, np.uint8)),
        (np.full((H, W), 7, np.uint8), None, np.full((1, H, W, 3), 7, np.uint8)),
        (np.full((2, H, W, 1), 7, np.uint8), None, np.full((2, H, W, 3), 7, np.uint8)),
        (np.full((H, W, 3), 0.5, np.float64), None, np.full((1, H, W, 3), 0.5, np.float32)),
        (np.full((H, W, 1), 0.5, np.float16), None, np.full((1, H, W, 3), 0.5, np.float32)),
        (np.full((H, W, 3), 65535, np.uint16), 1 / 65535, np.full((1, H, W, 3), 1, np.float32)),
        (np.full((H, W, 3), 300, np.int64), 1 / 1000, np.full((1, H, W, 3), 0.3, np.float32)),
        (np.full((H, W, 3), 0, np.uint8), (2 / 255, -1), np.full((1, H, W, 3), -1, np.float32)),
        (np.full((H, W, 13), 100, np.uint16), 1e-2, np.full((1, H, W, 13), 1, np.float32)),
        (np.arange(H * W * 4, dtype=np.uint8).reshape(H, W, 4), "rgb", np.arange(96).reshape(1, H, W, 4)[..., :3]),
    ],
)
def test_images_are_kept_or_read_as_said(value, how, wanted):
    found = decoding.image(value, how)["image"]
    assert found.dtype == (np.uint8 if value.dtype == np.uint8 and how in (None, "rgb") else np.float32)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "how", "message"),
    [
        (np.full((H, W, 3), 300, np.uint16), None, r"uint16 \(4, 6, 3\): its white is not known.*1 / 65535"),
        (np.full((H, W, 3), 3, np.int64), None, "its white is not known"),
        (np.ones((H, W, 3), bool), None, "its white is not known"),
        (np.full((H, W, 3), 1.5), None, r"holds 1.5 .. 1.5; expected floats in \[0, 1\]"),
        (np.full((H, W, 3), -0.5), None, "expected floats in"),
        (np.full((H, W, 3), np.nan), None, "expected floats in"),
        (np.full((H, W, 3), np.inf), 0.5, "not finite"),
        (np.zeros((H, W, 4), np.uint8), None, "4 channels; expected 1 or 3. decode={'image': 'rgb'}"),
        (np.zeros((H, W, 13), np.uint8), None, "13 channels"),
        (np.zeros((H, W, 13), np.float32), None, "13 channels"),
        (np.zeros((H, W, 3), np.uint8), "rgb", "is for four channels"),
        (np.zeros(3, np.uint8), None, r"\(3,\): expected \(H, W\)"),
        (np.zeros((H, W, 3), "S1"), None, "holds .S1, not numbers"),
    ],
)
def test_images_whose_looks_are_not_known_are_refused(value, how, message):
    with pytest.raises(UserError, match=message):
        decoding.image(value, how)


@pytest.mark.parametrize(
    ("key", "value", "how", "wanted", "valid"),
    [
        ("share", np.float64(0.75), None, np.float32(0.75), True),
        ("share", np.float32(np.nan), None, np.float32(0), False),
        ("label", np.int64(3), None, np.int32(3), True),
        ("label", np.uint8(3), None, np.int32(3), True),
        ("label", np.int64(-1), None, np.int32(-1), False),
        ("label", np.float32(3), "classes", np.int32(3), True),
        ("label", np.bool_(True), None, np.int32(1), True),
        ("age", np.int64(40), 1.0, np.float32(40), True),
        ("depth", np.float16([[0, 2.5]]), None, np.float32([[0, 2.5]]), [[False, True]]),
        ("depth", np.uint16([[0, 2500]]), 0.001, np.float32([[0, 2.5]]), [[False, True]]),
        ("semantic", np.int64([[-1, 4]]), None, np.int32([[0, 4]]), [[False, True]]),
        ("semantic", np.float32([[np.nan, 4]]), "classes", np.int32([[0, 4]]), [[False, True]]),
        ("edge", np.uint8([[0, 255]]), 1 / 255, np.uint8([[0, 1]]), [[True, True]]),
        ("edge", np.bool_([[0, 1]]), None, np.uint8([[0, 1]]), [[True, True]]),
    ],
)
def test_labels_are_kept_or_read_as_said(key, value, how, wanted, valid):
    found = decoding.label(key, np.asarray(value), how)
    assert found[key].dtype == wanted.dtype
    np.testing.assert_allclose(np.squeeze(found[key]), np.squeeze(wanted), rtol=1e-6)
    np.testing.assert_array_equal(np.squeeze(found[f"{key}_valid"]), np.squeeze(valid))
    if np.ndim(value):
        assert found[key].shape == found[f"{key}_valid"].shape == (1, 1, 2, 1)


@pytest.mark.parametrize(("value", "how"), [(NORMAL, None), (0.97 * NORMAL, None), (NORMAL8, (2 / 255, -1))])
def test_normals_are_unit_vectors_where_there_are_any(value, how):
    value = value.copy()
    value[0, 0] = 0 if how is None else 128
    found = decoding.label("normal", value, how)
    valid = found["normal_valid"][0, ..., 0]
    assert not valid[0, 0]
    assert valid.sum() == H * W - 1
    np.testing.assert_allclose(found["normal"][0][valid], NORMAL[valid], atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(found["normal"][0][valid], axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "how", "message"),
    [
        ("depth", np.uint16([[2500]]), None, "'depth' is stored as uint16: how many metres a step is.*0.001 for mill"),
        ("normal", NORMAL8, None, r"'normal' is stored as uint8.*\(2 / 255, -1\)"),
        ("normal", (NORMAL + 1) / 2, None, r"lengths that differ from 1 by .*expected unit vectors.*\(2, -1\)"),
        ("normal", 255 * NORMAL, None, "expected unit vectors"),
        ("normal", NORMAL[..., :2], None, "2 channels; expected 3"),
        ("forward_flow", np.zeros((H, W, 2), np.uint16), None, r"how many pixels a step is.*\(1 / 64, -512\)"),
        ("edge", np.uint8([[0, 255]]), None, "'edge' holds 0 .. 255; expected 0 and 1.*1 / 255 for black and white"),
        (
            "semantic",
            np.float32([[1.0]]),
            None,
            "'semantic' is stored as float32; expected whole numbers, or 'classes'",
        ),
        ("semantic", np.float32([[1.5]]), "classes", "holds 1.5 .. 1.5; expected whole numbers"),
        ("label", np.int64(2**40), None, "expected whole numbers of 32 bits"),
        ("label", np.uint32(2**32 - 1), None, "expected whole numbers of 32 bits"),
        ("number", np.float64(1e300), None, "beyond what float32 can hold"),
        ("text", np.array(b"cat", object), None, "holds object, not numbers"),
    ],
)
def test_labels_that_cannot_be_told_are_refused(key, value, how, message):
    with pytest.raises(UserError, match=message):
        decoding.label(key, np.asarray(value), how)


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        ({"dept": 0.001}, r"key in decode of tfds\('x'\): 'dept'; did you mean 'depth'"),
        ({"depth": "metres"}, r"way to decode 'depth' of tfds\('x'\): 'metres'.*Known: classes, rgb"),
        ({"depth": "rgb"}, "'rgb' is for `image`, 'classes' for labels"),
        ({"image": "classes"}, "'rgb' is for `image`, 'classes' for labels"),
        ({"depth": 0}, "a factor that is not 0"),
        ({"depth": (1, 2, 3)}, "expected a factor, or a factor and a shift"),
        ({"depth": float("nan")}, "expected a factor, or a factor and a shift"),
        ([1], "expected ways to read by key"),
    ],
)
def test_mistakes_in_decode_are_named(decode, message):
    with pytest.raises(UserError, match=message):
        tfds("x", keys={"image": "image", "depth": "depth"}, decode=decode)


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """A prepared builder whose features are not those of photographs and classes."""
    with quiet_tfds():
        import tensorflow_datasets as source

    made = {"floats": np.full((H, W, 3), 0.5, np.float32), "wide": np.full((H, W, 3), 25600, np.uint16)}
    made |= {"depth": np.full((H, W), 2500, np.uint16), "share": np.float32(0.75)}
    made["depth"][0] = 0
    features = source.features

    class OtherNumbers(source.core.GeneratorBasedBuilder):
        VERSION = source.core.Version("1.0.0")
        pkg_dir_path = None

        def _info(self):
            tensors = {key: features.Tensor(shape=value.shape, dtype=value.dtype) for key, value in made.items()}
            return source.core.DatasetInfo(builder=self, features=features.FeaturesDict(tensors), description="made")

        def _split_generators(self, _):
            return {"train": self._generate_examples(), "test": self._generate_examples()}

        def _generate_examples(self):
            yield from ((i, made) for i in range(2))

    folder = str(tmp_path_factory.mktemp("tfds"))
    with quiet_tfds():
        OtherNumbers(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def test_a_builder_is_read_as_its_numbers_and_decode_say(builder):
    keys, decode = {"image": "wide", "share": "share", "depth": "depth"}, {"image": 1 / 65535, "depth": 0.001}
    example = tfds("other_numbers", keys=keys, data_dir=builder, decode=decode).split("train")[1]
    np.testing.assert_allclose(example["image"], np.full((1, H, W, 3), 25600 / 65535), rtol=1e-6)
    assert (example["share"], example["share_valid"]) == (0.75, True)
    np.testing.assert_allclose(example["depth"][0, 1:], 2.5)
    np.testing.assert_array_equal(example["depth_valid"][0, :, :, 0], np.arange(H)[:, None] > np.zeros(W))
    floats = tfds("other_numbers", keys={"image": "floats"}, data_dir=builder).split("train")[0]
    np.testing.assert_array_equal(floats["image"], np.full((1, H, W, 3), 0.5, np.float32))


def test_what_a_builder_does_not_tell_is_asked_for_at_the_start(builder):
    for keys, feature in (({"image": "wide"}, "wide"), ({"image": "floats", "depth": "depth"}, "depth")):
        with pytest.raises(UserError, match=f"data set other_numbers, feature '{feature}', example 0: .*decode="):
            tfds("other_numbers", keys=keys, data_dir=builder).split("train")
