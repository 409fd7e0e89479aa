"""Any TFDS builder: CIFAR-100's own builder and features, prepared from made images as it cannot be downloaded."""

import functools
import sys

import numpy as np
import pytest
import requests
import urllib3.util.retry

from mtljax.data import DataSet, tfds
from mtljax.data.quiet import quiet_tfds
from mtljax.data.reading import decoding, tfds_pictures
from mtljax.errors import UserError
from tests.cifar import IMAGES
from tests.movi import png

with quiet_tfds():
    from PIL import Image
    from tensorflow_datasets.image_classification import cifar

KEYS = {"image": "image", "fine": "label", "coarse": "coarse_label"}


def test_labels_of_two_tasks_come_in_the_canonical_form(cifar100_dir):
    data = tfds("cifar100", keys=KEYS, data_dir=cifar100_dir)
    assert isinstance(data, DataSet)
    source = data.split("train")
    assert [len(source), len(data.split("validation"))] == [16, 4]
    example = source[5]
    assert example.keys() == {"image", "fine", "fine_valid", "coarse", "coarse_valid"}
    assert example["image"].shape == (1, 32, 32, 3)
    assert example["image"].dtype == np.uint8
    which = next(i for i in range(16) if np.array_equal(example["image"][0], IMAGES[i]))
    assert example["coarse"] == which % 20
    assert example["fine"].dtype == np.int32
    assert example["fine_valid"]


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        ("train", (14, 2)),
        ({"train": "train[:50%]", "validation": "train[50%:]"}, (8, 8)),
        ({"train": "train", "validation": "test"}, (16, 4)),
    ],
)
def test_splits_are_in_the_language_of_tfds(cifar100_dir, split, sizes):
    data = tfds("cifar100", split, keys=KEYS, data_dir=cifar100_dir)
    assert (len(data.split("train")), len(data.split("validation"))) == sizes


def test_features_may_be_nested_and_dense(tmp_path):
    """`scenes` read as any builder: frames of depth and classes with masks, a nested pose."""
    with quiet_tfds():
        from mtljax.data.scenes.tfds_builder import scenes_dataset_builder
    with pytest.MonkeyPatch.context() as patch:
        few = {"train": 2, "validation": 1, "test": 1}
        patch.setattr(scenes_dataset_builder.Scenes.BUILDER_CONFIGS[0], "clips", few)
        patch.setattr(scenes_dataset_builder, "workers", functools.partial(scenes_dataset_builder.workers, 1))
        keys = {"image": "video", "depth": "depth", "semantic": "semantic", "eye": "camera/positions"}
        data = tfds("scenes/tiny", {"train": "train"}, keys=keys, data_dir=str(tmp_path))
        example = data.split("train")[1]
    assert example["image"].shape == (2, 32, 32, 3)
    assert (example["depth"].shape, example["depth_valid"].shape) == ((2, 32, 32, 1), (2, 32, 32, 1))
    assert example["semantic"].dtype == np.int32
    assert example["eye"].size == 6


def test_grey_images_become_colour(tmp_path):
    with quiet_tfds():
        from tensorflow_datasets.image_classification import mnist

    with pytest.MonkeyPatch.context() as patch, quiet_tfds():
        made = [(i, {"image": Image.fromarray(IMAGES[i, :28, :28, :1][..., 0]), "label": i}) for i in range(3)]
        patch.setattr(mnist.MNIST, "_split_generators", lambda self, _: {"train": iter(made), "test": iter(made)})
        mnist.MNIST(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    example = tfds("mnist", keys={"image": "image", "digit": "label"}, data_dir=str(tmp_path)).split("train")[0]
    assert example["image"].shape == (1, 28, 28, 3)
    assert np.ptp(example["image"], axis=-1).max() == 0


def of_ones_own(folder, features, example):
    """Two examples of a builder of one's own, found by what it has prepared alone; returns the arguments of `tfds`."""
    with quiet_tfds():
        import tensorflow_datasets

        class RoomsOfATest(tensorflow_datasets.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tensorflow_datasets.core.Version("1.0.0")

            def _info(self):
                return tensorflow_datasets.core.DatasetInfo(
                    builder=self, features=features(tensorflow_datasets.features)
                )

            def _split_generators(self, dl_manager):
                return {"train": ((i, example) for i in range(2))}

            def _generate_examples(self):
                raise AssertionError("the split is given whole")

        RoomsOfATest(data_dir=str(folder / "data"), file_format="array_record").download_and_prepare()
    return {"name": "rooms_of_a_test", "data_dir": str(folder / "data"), "split": {"train": "train"}}


def test_pictures_of_16_bits_need_neither_tensorflow_nor_opencv(tmp_path):
    """As they are, wherever they stand: Pillow's upper byte of a colour of 16 bits would be another number."""
    depth = np.random.default_rng(1).integers(0, 65536, (6, 4, 1)).astype(np.uint16)
    (tmp_path / "depth.png").write_bytes(png(depth))
    (tmp_path / "normal.png").write_bytes(png(np.repeat(depth, 3, axis=-1)))
    Image.fromarray(IMAGES[0, :6, :4]).save(tmp_path / "image.png")

    def features(of):
        normal = of.FeaturesDict({"normal": of.Image(shape=(6, 4, 3), dtype=np.uint16)})
        depth = of.Image(shape=(6, 4, 1), dtype=np.uint16)
        return of.FeaturesDict({"image": of.Image(shape=(6, 4, 3)), "depth": depth, "more": normal})

    example = {key: str(tmp_path / f"{key}.png") for key in ("image", "depth")}
    made = of_ones_own(tmp_path, features, example | {"more": {"normal": str(tmp_path / "normal.png")}})
    keys = {"image": "image", "depth": "depth", "height": "more/normal"}
    found = tfds(**made, keys=keys, decode={"depth": 0.001, "height": 1.0}).split("train")[1]
    np.testing.assert_array_equal(found["image"][0], IMAGES[0, :6, :4])
    np.testing.assert_allclose(found["depth"][0], depth * 0.001, rtol=1e-6)
    np.testing.assert_array_equal(found["height"][0], np.repeat(depth, 3, axis=-1))


def test_what_tfds_cannot_read_here_is_told(tmp_path):
    """A film of 16 bits, as MOVi's, which has a reader of its own."""
    (tmp_path / "frame.png").write_bytes(png(np.zeros((32, 32, 1), np.uint16)))
    Image.fromarray(IMAGES[0]).save(tmp_path / "image.png")

    def features(of):
        return of.FeaturesDict(
            {"image": of.Image(shape=(32, 32, 3)), "film": of.Sequence(of.Image(shape=(32, 32, 1), dtype=np.uint16))}
        )

    frames = [str(tmp_path / "frame.png")] * 2
    made = of_ones_own(tmp_path, features, {"image": str(tmp_path / "image.png"), "film": frames})
    with pytest.raises(UserError, match=r"'rooms_of_a_test': TFDS does not decode its features without TensorFlow: "):
        tfds(**made, keys={"image": "image"}).split("train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keys": {"image": "imag"}}, r"'imag'; did you mean 'image'"),
        ({"keys": {"image": "image", "fine": "coarse_label/x"}}, r"feature of TFDS data set cifar100.*'x'"),
        ({"keys": {"fine": "label"}}, "keys must name the image"),
        ({"keys": None}, "keys must name the image"),
        ({"split": {"train": "trian"}}, r"'trian'; did you mean 'train'"),
        ({"split": {"valid": "test"}}, r"split of cifar100: 'train'.*valid"),
        ({"split": {"train": "train[:0%]"}}, r"its split 'train\[:0%\]', for train, has no examples"),
        ({"name": "cifarr100"}, r"'cifarr100'; did you mean 'cifar100'.*of your own is found by what it has prepared"),
    ],
)
def test_mistakes_are_named(cifar100_dir, arguments, message):
    with pytest.raises(UserError, match=message):
        tfds(**{"name": "cifar100", "keys": KEYS, "data_dir": cifar100_dir} | arguments).split("train")


def test_data_that_cannot_be_had_says_how_to_prepare_it(tmp_path):
    with pytest.MonkeyPatch.context() as patch:

        def offline(*_):
            raise ConnectionError("no network")

        patch.setattr(cifar.Cifar100, "_split_generators", offline)
        with pytest.raises(UserError, match=r"no network.*tfds build cifar100 --file_format=array_record"):
            tfds("cifar100", keys=KEYS, data_dir=str(tmp_path)).split("train")


@pytest.mark.parametrize("reachable", [True, False])
def test_without_a_network_nothing_is_waited_for(tmp_path, monkeypatch, reachable):
    nowhere = "http://127.0.0.1:9"  # where nothing listens
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    if reachable:  # at first
        monkeypatch.setattr(requests, "head", lambda url, timeout: None)
    waits = []
    monkeypatch.setattr(urllib3.util.retry.Retry, "sleep", lambda self, response=None: waits.append(self))
    with pytest.raises(UserError, match=r"'cifar100' is not prepared in \S+ and could not be: .*tfds build"):
        tfds("cifar100", keys=KEYS, data_dir=str(tmp_path)).split("train")
    assert bool(waits) == reachable


def test_tensorflow_is_not_needed():
    assert "tensorflow_datasets" in sys.modules
    assert "tensorflow" not in sys.modules


def test_a_text_is_no_picture():
    with pytest.raises(UserError, match=r"'depth' holds .S5, not numbers"):
        decoding.label("depth", tfds_pictures.pixels(b"hello"), None)
