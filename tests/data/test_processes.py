"""Sources, their wrappers and augmentations go to other processes and read the same there; all pass the check."""

import functools
import pickle

import grain
import numpy as np
import pytest
from absl import flags

from mtljax.data import (
    augment,
    camvid,
    cityscapes,
    kitti_odometry,
    mix,
    movi,
    multi_mnist,
    nyuv2,
    pipeline,
    rgbd,
    taskonomy,
    tfds,
)
from mtljax.data.check import check, faults
from mtljax.data.hidden import Hidden
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip
from mtljax.data.tolerant import Tolerant
from tests.data.sources import (
    test_adult,
    test_cityscapes,
    test_kitti_odometry,
    test_multi_mnist,
    test_nyuv2,
    test_taskonomy,
)
from tests.data.sources.streets import write_streets
from tests.frames import write_folder
from tests.movi import encoded, write

CHANGE = augment.compose(
    augment.flip(),
    augment.scale(0.9, 1.5),
    augment.crop(6, 8),
    augment.resize(7, 8),
    augment.colour(0.1, 0.1, 0.1, 0.1),
)


def streets(root):
    return camvid(str(write_streets(root / "streets")))


def frames(root):
    return rgbd(str(write_folder(root / "frames", 6)))


def drives(root):
    for name in ("00", "09"):
        test_kitti_odometry.write_sequence(root / "kitti", name)
    return kitti_odometry(str(root / "kitti"), sequences=["00"], validation=["09"], size=None)


def city(root):
    test_cityscapes.write_image(root / "city", "train", "ulm", 0)
    return cityscapes(str(root / "city"), size=(8, 16))


def rooms(root):
    for point in range(2):
        test_taskonomy.write(root / "rooms", "", point, 0, point)
    return taskonomy(str(root / "rooms"))


def arrays(root):
    test_nyuv2.write(root / "nyuv2" / "train", 3, (1, 1, 1))
    return nyuv2(str(root / "nyuv2"))


def people(root):
    return test_adult.write(root, [test_adult.person(i) for i in range(20)])


def digits(root):
    test_multi_mnist.write(root, "train", test_multi_mnist.IMAGES, test_multi_mnist.LABELS)
    return multi_mnist(str(root))


def clips(root):
    write(root, "movi_e/24x24", "train", [encoded(render_clip(24, 4, 0, "train", 1))])
    return movi("movi_e/24x24", data_dir=str(root))


def both(root):
    names = {"a": {"edge": "edge"}, "b": {"edge": "edge"}}
    return mix({"a": streets(root), "b": frames(root)}, size=(8, 12), rename=names)


@pytest.mark.parametrize("make", [streets, frames, drives, city, rooms, arrays, people, digits, clips, both])
def test_sources_and_wrappers_read_the_same_in_another_process(tmp_path, make):
    data_set = make(tmp_path)
    source = data_set.split("train")
    check(source)
    for wrapped in (source, Hidden(source, 0.5, 0), Tolerant(Hidden(source, 0.5, 0), 0.1)):
        before = wrapped[0]  # and what is remembered of it does not hinder
        assert list(faults(before, getattr(data_set, "meanings", None))) == []
        np.testing.assert_equal(pickle.loads(pickle.dumps(wrapped))[0], before)


def test_sources_of_builders_read_the_same_in_another_process(cifar100_dir):
    source = tfds("cifar100", keys={"image": "image", "fine": "label"}, data_dir=cifar100_dir).split("train")
    check(source)
    np.testing.assert_equal(pickle.loads(pickle.dumps(source))[3], source[3])


def test_augmentations_draw_the_same_in_another_process():
    example = to_example(render_clip(16, 2, 0, "train", 0))
    assert list(faults(CHANGE(example, np.random.default_rng(5)))) == []
    copied = pickle.loads(pickle.dumps(CHANGE))
    np.testing.assert_equal(*(change(example, np.random.default_rng(5)) for change in (CHANGE, copied)))


@pytest.mark.slow
def test_a_worker_process_of_grain_serves_the_same_batches(tmp_path):
    source = Tolerant(Hidden(both(tmp_path).split("train"), 0.2, 0), 0.1)
    dataset = grain.MapDataset.source(source).map(pipeline.Prepare(["semantic", "depth"]))
    dataset = dataset.batch(2, batch_fn=functools.partial(pipeline.collate)).to_iter_dataset()
    flags.FLAGS(["a worker reads them"])
    served = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=1))
    for here, there in zip(iter(dataset), iter(served), strict=True):
        np.testing.assert_equal(there, here)
