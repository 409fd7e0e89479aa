"""Clips of `scenes` in the encoding of Kubric's MOVi, and the files in which TensorFlow Datasets keeps them.

After challenges/movi/movi_e.py, kubric/renderer/blender_utils.py and kubric/core of google-research/kubric. TFDS itself
writes MOVi's features with TensorFlow alone.
"""

import struct
import zlib

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.quiet import quiet_tfds

FOCAL = 35.0  # mm
AROUND_X = np.diag([1.0, -1.0, -1.0])


def png(array):
    """PNG of (h, w, 1 or 3), uint8 or uint16: Pillow writes no colours of 16 bits."""
    h, w, channels = array.shape
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big_endian)
    header = struct.pack(">IIBBBBB", w, h, 8 * array.itemsize, {1: 0, 3: 2}[channels], 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def encoded(clip):
    """The features of MOVi, by TFDS's keys, of a clip that `scenes` rendered."""
    s, h, w, _ = clip["video"].shape
    camera, instances = clip["camera"], clip["instances"]
    turns = Rotation.from_quat(np.roll(camera["quaternions"], -1, axis=-1)).as_matrix()
    focal = camera["intrinsics"][0, 0]
    x, y = np.meshgrid(np.arange(w) + 0.5 - w / 2, np.arange(h) + 0.5 - h / 2)
    distance = clip["depth"][..., 0].astype(np.float64) * np.sqrt(1 + (x**2 + y**2) / focal**2)
    depth_range = [distance.min(), distance.max()]
    depth = np.round((distance - depth_range[0]) / np.diff(depth_range) * 65535).astype(np.uint16)
    world = np.einsum("sij,shwj->shwi", turns, clip["normal"])
    forward, forward_range = flow(clip["forward_flow"])
    backward, backward_range = flow(-clip["backward_flow"])  # from the frame before to this one
    visible = instances["visibility"] > 0
    return {
        "metadata/video_name": [b"0"],
        "metadata/num_frames": [s],
        "metadata/num_instances": [len(visible)],
        "metadata/depth_range": np.float32(depth_range),
        "metadata/forward_flow_range": forward_range,
        "metadata/backward_flow_range": backward_range,
        "camera/focal_length": np.float32([FOCAL]),
        "camera/sensor_width": np.float32([FOCAL * w / focal]),
        "camera/field_of_view": np.float32([2 * np.arctan(w / 2 / focal)]),
        "camera/positions": camera["positions"],
        "camera/quaternions": np.roll(Rotation.from_matrix(turns @ AROUND_X).as_quat(), 1, axis=-1).astype(np.float32),
        "video": [png(frame) for frame in clip["video"]],
        "segmentations": [png(frame) for frame in clip["segmentations"]],
        "depth": [png(frame) for frame in depth[..., None]],
        "normal": [png(((frame.clip(-1, 1) + 1) * 65535 / 2).astype(np.uint16)) for frame in world],
        "forward_flow": forward,
        "backward_flow": backward,
        "instances/positions": instances["positions"],
        "instances/quaternions": instances["quaternions"],
        "instances/bboxes_3d": boxes(instances),
        "instances/category": instances["category"] - 1,
        "instances/visibility": instances["visibility"],
        "instances/bboxes/ragged_flat_values": instances["bboxes"][visible],
        "instances/bboxes/ragged_row_lengths_0": visible.sum(axis=1),
        "instances/bbox_frames/ragged_flat_values": np.nonzero(visible)[1],
        "instances/bbox_frames/ragged_row_lengths_0": visible.sum(axis=1),
        "events/collisions/force": np.zeros(0, np.float32),
    }


def flow(xy):
    """(row, column) as uint16, and the bounds that it spans."""
    bounds = np.float32([xy.min(), xy.max()])
    return ((xy[..., ::-1] - bounds[0]) / np.diff(bounds) * 65535).astype(np.uint16), bounds


def boxes(instances):
    """(n, s, 8, 3): corners in the order of itertools.product over x, y and z."""
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3, indexing="ij"), axis=-1).reshape(8, 3)
    turns = Rotation.from_quat(np.roll(instances["quaternions"], -1, axis=-1).reshape(-1, 4)).as_matrix()
    turns = turns.reshape(*instances["quaternions"].shape[:2], 3, 3)
    corners = np.einsum("nsij,ncj->nsci", turns, instances["scale"][:, None] * signs)
    return (corners + instances["positions"][:, :, None]).astype(np.float32)


def write(data_dir, name, split, records, shards=1):
    """Writes records as TFDS's array_record files of version 1.0.0; returns their folder."""
    from array_record.python.array_record_module import ArrayRecordWriter

    folder = data_dir / name / "1.0.0"
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        file = folder / f"{name.split('/')[0]}-{split}.array_record-{shard:05d}-of-{shards:05d}"
        writer = ArrayRecordWriter(str(file), "group_size:1")
        for record in records[shard::shards]:
            writer.write(message(record))
        writer.close()
    return folder


def message(features):
    """A serialised tf.train.Example."""
    with quiet_tfds():
        from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    def feature(values):
        if isinstance(values, list) and values and isinstance(values[0], bytes):
            return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=values))
        values = np.asarray(values)
        flat = values.reshape(-1).tolist()
        if values.dtype.kind == "f":
            return tf_feature_pb2.Feature(float_list=tf_feature_pb2.FloatList(value=flat))
        return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=flat))

    made = {key: feature(values) for key, values in features.items()}
    return tf_example_pb2.Example(features=tf_feature_pb2.Features(feature=made)).SerializeToString()
