"""MultiMNIST from idx files, made and real, and from the builder of TensorFlow Datasets."""

import gzip
import struct

import numpy as np
import pytest

from mtljax.data import DataSet, multi_mnist
from mtljax.data.quiet import quiet_tfds
from mtljax.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
LABELS = (np.arange(12) % 10).astype(np.uint8)


def write(folder, stem, images, labels, packed=False):
    folder.mkdir(exist_ok=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        raw = struct.pack(f">{1 + array.ndim}I", 2048 + array.ndim, *array.shape) + array.tobytes()
        file = folder / f"{stem}-{name}-ubyte{'.gz' if packed else ''}"
        file.write_bytes(gzip.compress(raw) if packed else raw)
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "mnist", "train", IMAGES, LABELS)


def by_hand(left, right):
    """The definition, pixel by pixel."""
    canvas = np.zeros((36, 36))
    for row in range(28):
        for column in range(28):
            canvas[row, column] = left[row, column]
    for row in range(28):
        for column in range(28):
            canvas[6 + row, 6 + column] = max(canvas[6 + row, 6 + column], right[row, column])
    small = np.zeros((28, 28))
    for row in range(28):
        for column in range(28):
            small[row, column] = canvas[int((row + 0.5) * 36 / 28), int((column + 0.5) * 36 / 28)]
    return (small / 255 - 0.1307) / 0.3081


def test_an_example_is_two_digits_on_one_image(folder):
    data = multi_mnist(folder)
    assert isinstance(data, DataSet)
    source = data.split("train")
    example = source[3]
    assert (example["image"].shape, example["image"].dtype) == ((1, 28, 28, 1), np.float32)
    assert example["left"] == LABELS[3]
    partner = int(source.partners[3])
    assert example["right"] == LABELS[partner]
    assert example["left_valid"]
    assert example["right_valid"]
    np.testing.assert_allclose(example["image"][0, :, :, 0], by_hand(IMAGES[3], IMAGES[partner]), rtol=1e-5)


def test_without_test_files_the_last_sixth_is_held_out_and_never_a_partner(folder):
    train, validation = (multi_mnist(folder).split(name) for name in ("train", "validation"))
    assert (len(train), len(validation)) == (10, 2)
    assert sorted(train.partners) == list(range(10))
    assert [validation[i]["left"] for i in range(2)] == list(LABELS[10:])
    assert {int(validation[i]["right"]) for i in range(2)} == set(LABELS[10:].tolist())
    with pytest.raises(IndexError):
        train[10]


def test_test_files_are_the_validation_split(tmp_path):
    folder = write(tmp_path / "mnist", "train", IMAGES, LABELS, packed=True)
    write(tmp_path / "mnist", "t10k", IMAGES[:3], LABELS[:3] + 5)
    train, validation = (multi_mnist(folder).split(name) for name in ("train", "validation"))
    assert (len(train), len(validation)) == (12, 3)
    assert validation[0]["left"] == LABELS[0] + 5


def test_the_seed_chooses_the_pairs(tmp_path):
    folder = write(tmp_path / "mnist", "train", np.tile(IMAGES, (20, 1, 1)), np.tile(LABELS, 20))
    partners = [multi_mnist(folder, seed=seed).split("train").partners.tolist() for seed in (0, 0, 1)]
    assert partners[0] == partners[1]
    assert partners[0] != partners[2]


def test_the_real_digits(shared):
    train, validation = (multi_mnist(str(shared / "data" / "mnist")).split(name) for name in ("train", "validation"))
    assert (len(train), len(validation)) == (50_000, 10_000)
    assert np.bincount([int(train[i]["left"]) for i in range(2000)], minlength=10).min() > 100
    images = np.stack([train[i]["image"] for i in range(0, 50_000, 500)])
    assert images.min() == pytest.approx(-0.1307 / 0.3081, rel=1e-5)
    assert -0.1 < images.mean() < 1  # two digits are brighter than one


def test_digits_of_tensorflow_datasets(tmp_path):
    with quiet_tfds():
        from PIL import Image
        from tensorflow_datasets.image_classification import mnist

    def examples(numbers):
        return iter([(int(i), {"image": Image.fromarray(IMAGES[i]), "label": int(LABELS[i])}) for i in numbers])

    splits = {"train": range(8), "test": range(8, 12)}
    with pytest.MonkeyPatch.context() as patch, quiet_tfds():
        patch.setattr(
            mnist.MNIST, "_split_generators", lambda self, _: {name: examples(n) for name, n in splits.items()}
        )
        mnist.MNIST(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    data = multi_mnist(data_dir=str(tmp_path))
    train = data.split("train")
    assert (len(train), len(data.split("validation"))) == (8, 4)
    at = [next(i for i in range(8) if LABELS[i] == train[n]["left"]) for n in range(8)]
    example = train[2]
    expected = by_hand(IMAGES[at[2]], IMAGES[at[int(train.partners[2])]])
    np.testing.assert_allclose(example["image"][0, :, :, 0], expected, rtol=1e-5)


def damaged(change):
    def make(folder):
        file = folder / "train-images-idx3-ubyte"
        file.write_bytes(change(file.read_bytes()))

    return make


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "train-labels-idx1-ubyte").unlink(), r"mnist' lacks train-labels-idx1-ubyte \(or"),
        (
            damaged(lambda raw: raw[:-5]),
            r"train-images-idx3-ubyte' is damaged: it names 12x28x28 bytes, but holds 9403",
        ),
        (damaged(lambda raw: b"PNG" + raw), "is no idx file of bytes with 3 axes"),
        (damaged(lambda raw: b""), "is no idx file of bytes with 3 axes"),
        (lambda folder: write(folder, "train", IMAGES[:11], LABELS), "11 train images, but 12 labels"),
        (lambda folder: write(folder, "train", IMAGES[:, :9], LABELS), r"images of \(9, 28\) pixels"),
        (lambda folder: write(folder, "train", IMAGES[:3], LABELS[:3]), "holds 3 digits: too few"),
        (lambda folder: (folder / "train-images-idx3-ubyte").rename(folder / "x"), "lacks train-images"),
    ],
)
def test_bad_folders_get_one_clear_message(folder, tmp_path, harm, message):
    harm(tmp_path / "mnist")
    with pytest.raises(UserError, match=message):
        multi_mnist(folder).split("train")


def test_a_damaged_archive_is_named(tmp_path):
    folder = write(tmp_path / "mnist", "train", IMAGES, LABELS, packed=True)
    file = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz' cannot be read"):
        multi_mnist(folder).split("train")


def test_misuse_gets_one_clear_message(folder, tmp_path):
    with pytest.raises(UserError, match=r"'trains'; did you mean 'train'"):
        multi_mnist(folder).split("trains")
    with pytest.raises(UserError, match="not both"):
        multi_mnist(folder, data_dir="x")
    with pytest.raises(UserError, match="nowhere' does not exist"):
        multi_mnist(str(tmp_path / "nowhere")).split("train")
