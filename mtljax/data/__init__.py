"""Data sets as random-access sources of examples in one form, and the grain pipelines that batch them."""

from mtljax.data import augment
from mtljax.data.adult import adult
from mtljax.data.camvid import camvid
from mtljax.data.dataset import DataSet, Example, Source, valid_everywhere
from mtljax.data.kitti_poses import read_kitti
from mtljax.data.mix import mix
from mtljax.data.multi_mnist import multi_mnist
from mtljax.data.rgbd import rgbd
from mtljax.data.scenes import scenes
from mtljax.data.tfds_source import tfds

SOURCES = {
    "adult": adult,
    "camvid": camvid,
    "mix": mix,
    "multi_mnist": multi_mnist,
    "rgbd": rgbd,
    "scenes": scenes,
    "tfds": tfds,
}

__all__ = [
    "SOURCES",
    "DataSet",
    "Example",
    "Source",
    "adult",
    "augment",
    "camvid",
    "mix",
    "multi_mnist",
    "read_kitti",
    "rgbd",
    "scenes",
    "tfds",
    "valid_everywhere",
]
