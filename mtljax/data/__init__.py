"""Data sets as random-access sources of examples in one form, and the grain pipelines that batch them."""

from mtljax.data import augment
from mtljax.data.check import check
from mtljax.data.dataset import DataSet, Example, Source, valid_everywhere
from mtljax.data.folder import Files, Folder
from mtljax.data.labels.instances import instances
from mtljax.data.mix import Mix, mix
from mtljax.data.own.from_arrays import from_arrays
from mtljax.data.own.from_iterable import from_iterable
from mtljax.data.own.from_table import from_table
from mtljax.data.reading.decoding import label
from mtljax.data.reading.images import read_image
from mtljax.data.reading.kitti_poses import read_kitti
from mtljax.data.scenes import scenes
from mtljax.data.sources.adult import adult
from mtljax.data.sources.camvid import camvid
from mtljax.data.sources.cityscapes import cityscapes
from mtljax.data.sources.coco import coco
from mtljax.data.sources.eth_ucy import eth_ucy
from mtljax.data.sources.kitti_odometry import kitti_odometry
from mtljax.data.sources.mot import mot
from mtljax.data.sources.movi import movi
from mtljax.data.sources.multi_mnist import multi_mnist
from mtljax.data.sources.nyuv2 import nyuv2
from mtljax.data.sources.pennfudan import pennfudan
from mtljax.data.sources.rgbd import rgbd
from mtljax.data.sources.taskonomy import taskonomy
from mtljax.data.sources.tfds import tfds

SOURCES = {
    "adult": adult,
    "coco": coco,
    "eth_ucy": eth_ucy,
    "mot": mot,
    "pennfudan": pennfudan,
    "camvid": camvid,
    "cityscapes": cityscapes,
    "from_arrays": from_arrays,
    "from_iterable": from_iterable,
    "from_table": from_table,
    "kitti_odometry": kitti_odometry,
    "mix": mix,
    "movi": movi,
    "multi_mnist": multi_mnist,
    "nyuv2": nyuv2,
    "rgbd": rgbd,
    "scenes": scenes,
    "taskonomy": taskonomy,
    "tfds": tfds,
}

__all__ = [
    "SOURCES",
    "DataSet",
    "Example",
    "Files",
    "Folder",
    "Mix",
    "Source",
    "adult",
    "augment",
    "camvid",
    "check",
    "cityscapes",
    "coco",
    "eth_ucy",
    "from_arrays",
    "from_iterable",
    "from_table",
    "instances",
    "kitti_odometry",
    "label",
    "mix",
    "mot",
    "movi",
    "multi_mnist",
    "nyuv2",
    "pennfudan",
    "read_image",
    "read_kitti",
    "rgbd",
    "scenes",
    "taskonomy",
    "tfds",
    "valid_everywhere",
]
