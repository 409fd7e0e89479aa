"""MOVi: clips of `scenes`, whose labels are exact, in MOVi's encoding give those labels back to quantisation."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from mtljax.data import DataSet, check, movi
from mtljax.data.reading.raw_records import decoded
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip
from mtljax.errors import UserError
from tests.movi import encoded, png, write

SIZE, FRAMES = 24, 4
NAME = f"movi_e/{SIZE}x{SIZE}"


@pytest.fixture(scope="module")
def clips():
    return [render_clip(SIZE, FRAMES, 0, "train", i) for i in (1, 3)]


@pytest.fixture(scope="module")
def records(clips):
    return [encoded(clip) for clip in clips]


@pytest.fixture(scope="module")
def data_dir(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    write(folder, NAME, "train", records, shards=2)
    write(folder, NAME, "validation", records[1:])
    return folder


def read(record, tmp_path, frames=None):
    write(tmp_path, NAME, "train", [record])
    return movi(NAME, data_dir=str(tmp_path), frames=frames).split("train")


def test_labels_come_back_to_quantisation(clips, data_dir):
    data = movi(NAME, data_dir=str(data_dir))
    assert isinstance(data, DataSet)
    assert [len(data.split(split)) for split in ("train", "validation")] == [2, 1]
    for clip, example in zip(clips, data.split("train"), strict=True):
        exact = to_example(clip)
        assert example.keys() == exact.keys()
        flow_step = max(np.ptp(clip[key]) for key in ("forward_flow", "backward_flow")) / 65535
        depth_step = 2 * np.ptp(clip["depth"]) / 65535
        tolerance = {"depth": depth_step, "normal": 1e-4, "forward_flow": flow_step, "backward_flow": flow_step}
        for key in ("image", "semantic", "depth", "normal", "edge", "forward_flow", "backward_flow", "segmentations"):
            assert (example[key].shape, example[key].dtype) == (exact[key].shape, exact[key].dtype), key
            np.testing.assert_allclose(example[key], exact[key], atol=1.5 * tolerance.get(key, 0), err_msg=key)
            if f"{key}_valid" in exact:
                np.testing.assert_array_equal(example[f"{key}_valid"], exact[f"{key}_valid"])
        np.testing.assert_allclose(np.linalg.norm(example["normal"], axis=-1), 1, atol=1e-5)


def test_the_camera_is_that_of_opencv(clips, data_dir):
    for clip, example in zip(clips, movi(NAME, data_dir=str(data_dir)).split("train"), strict=True):
        for key in ("positions", "intrinsics"):
            np.testing.assert_allclose(example["camera"][key], clip["camera"][key], rtol=1e-6)
            assert example["camera"][key].dtype == np.float32
        products = np.sum(example["camera"]["quaternions"] * clip["camera"]["quaternions"], axis=-1)
        np.testing.assert_allclose(np.abs(products), 1, atol=1e-6)


def matrices(camera):
    result = np.tile(np.eye(4), (FRAMES, 1, 1))
    result[:, :3, :3] = Rotation.from_quat(np.roll(camera["quaternions"], -1, axis=-1)).as_matrix()
    result[:, :3, 3] = camera["positions"]
    return result


def test_ego_motion_maps_points_of_the_next_camera_to_this_one(clips, data_dir):
    for clip, example in zip(clips, movi(NAME, data_dir=str(data_dir)).split("train"), strict=True):
        poses = matrices(clip["camera"])
        for t in range(FRAMES - 1):
            expected = np.linalg.inv(poses[t]) @ poses[t + 1]
            np.testing.assert_allclose(example["ego_motion"][t, :3], expected[:3, 3], atol=1e-5)
            turn = Rotation.from_rotvec(example["ego_motion"][t, 3:]).as_matrix()
            np.testing.assert_allclose(turn, expected[:3, :3], atol=1e-5)
        assert example["ego_motion"].dtype == np.float32
        assert example["ego_motion_valid"].tolist() == [[True]] * (FRAMES - 1) + [[False]]
        assert not example["ego_motion"][-1].any()


def test_what_moves_in_the_world_is_told(clips, data_dir):
    seen = set()
    for clip, example in zip(clips, movi(NAME, data_dir=str(data_dir)).split("train"), strict=True):
        for t in range(FRAMES - 1):
            moves = np.any(np.diff(clip["instances"]["positions"], axis=1)[:, t] != 0, axis=-1)
            expected = np.concatenate([[False], moves])[clip["segmentations"][t]]
            np.testing.assert_array_equal(example["moving"][t], expected)
            seen |= set(np.unique(expected))
        assert example["moving"].dtype == np.uint8
        assert example["moving_valid"][:-1].all()
        assert not example["moving_valid"][-1].any()
    assert seen == {False, True}


def test_an_object_that_only_trembles_is_at_rest(records, tmp_path):
    record = dict(records[0])
    rng = np.random.default_rng(0)
    still = np.repeat(record["instances/positions"][:, :1], FRAMES, axis=1)
    record["instances/positions"] = (still + rng.uniform(-1e-4, 1e-4, still.shape)).astype(np.float32)
    record["instances/quaternions"] = np.repeat(record["instances/quaternions"][:, :1], FRAMES, axis=1)
    assert not read(record, tmp_path)[0]["moving"].any()
    turned = Rotation.from_rotvec([0, 0, 0.01]) * Rotation.from_quat(
        np.roll(record["instances/quaternions"][:, 1], -1, axis=-1)
    )
    record["instances/quaternions"][:, 1] = np.roll(turned.as_quat(), 1, axis=-1)
    shutil.rmtree(tmp_path / NAME)
    np.testing.assert_array_equal(read(record, tmp_path)[0]["moving"][0], decoded(record["segmentations"])[0] > 0)


def test_instances_are_padded_and_masked(clips, data_dir):
    for clip, example in zip(clips, movi(NAME, data_dir=str(data_dir)).split("train"), strict=True):
        n = len(clip["instances"]["category"])
        assert example["instances_valid"].tolist() == [True] * n + [False] * (23 - n)
        for key, value in clip["instances"].items():
            found = example["instances"][key]
            assert (found.shape, found.dtype) == ((23, *value.shape[1:]), value.dtype), key
            np.testing.assert_allclose(found[:n], value, atol=1e-6, err_msg=key)
            assert not found[n:].any()


def test_a_video_is_cut_into_clips_of_consecutive_frames(clips, data_dir):
    whole = movi(NAME, data_dir=str(data_dir)).split("train")
    halves = movi(NAME, data_dir=str(data_dir), frames=2).split("train")
    assert (len(whole), len(halves)) == (2, 4)
    assert [whole[i]["frame_index"].tolist() for i in (0, 1)] == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert [halves[i]["frame_index"].tolist() for i in range(4)] == [[0, 1], [2, 3], [5, 6], [7, 8]]
    assert (whole[0]["frame_index"].dtype, whole[0]["frame_index_valid"].tolist()) == (np.int32, [True] * 4)
    for key in ("image", "depth", "normal", "semantic", "edge"):
        np.testing.assert_array_equal(halves[3][key], whole[1][key][2:])
    np.testing.assert_array_equal(halves[3]["forward_flow"][0], whole[1]["forward_flow"][2])
    for key, at in (("forward_flow", 1), ("backward_flow", 0), ("moving", 1), ("ego_motion", 1)):
        assert not halves[3][f"{key}_valid"][at].any()
        assert not halves[3][key][at].any()
    np.testing.assert_array_equal(halves[3]["instances"]["positions"], whole[1]["instances"]["positions"][:, 2:])
    with pytest.raises(IndexError):
        halves[4]


def test_clips_may_overlap_by_a_frame(data_dir):
    source = movi(NAME, data_dir=str(data_dir), frames=2, stride=1).split("train")
    places = [source[i]["frame_index"].tolist() for i in range(len(source))]
    assert places == [[0, 1], [1, 2], [2, 3], [5, 6], [6, 7], [7, 8]]
    assert [int(source[i]["sequence"]) for i in (2, 3)] == [0, 1]
    with pytest.raises(UserError, match=r"stride=3, frames=2\): expected a whole number from 1 to frames"):
        movi(NAME, frames=2, stride=3)


def test_boxes_and_pixels_are_those_of_the_map(records, tmp_path):
    record = records[0] | {"instances/visibility": 4 * records[0]["instances/visibility"]}  # as of 256 x 256
    example = read(record, tmp_path)[0]
    for i, seen in enumerate(example["instances"]["visibility"][example["instances_valid"]]):
        assert seen.tolist() == [np.count_nonzero(ids == i + 1) for ids in example["segmentations"]]
    check([example])


def test_shapes_stand_in_for_categories(records, clips, tmp_path):
    record = dict(records[0])
    record["instances/shape_label"] = record.pop("instances/category")
    write(tmp_path, "movi_a/24x24", "train", [record])
    example = movi("movi_a/24x24", data_dir=str(tmp_path)).split("train")[0]
    np.testing.assert_array_equal(example["semantic"], clips[0]["semantic"])
    assert len(example["instances_valid"]) == 10


def test_where_the_sky_is_seen_no_depth_is_valid(records, tmp_path):
    record = dict(records[0]) | {"metadata/depth_range": np.float32([2, 1e10])}
    example = read(record, tmp_path)[0]
    assert not example["depth_valid"].any()
    assert not example["depth"].any()
    assert not example["edge_valid"].any()


def test_a_surface_without_a_normal_is_masked_and_none_faces_away(records, clips, tmp_path):
    frames = decoded(records[0]["normal"])
    assert frames.dtype == np.uint16
    example = read(records[0] | {"normal": [png(65535 - frame) for frame in frames]}, tmp_path)[0]
    np.testing.assert_allclose(example["normal"], clips[0]["normal"], atol=2e-4)
    frames[:, :3] = 32767  # of a vector 0
    shutil.rmtree(tmp_path / NAME)
    example = read(records[0] | {"normal": [png(frame) for frame in frames]}, tmp_path)[0]
    assert not example["normal_valid"][:, :3].any()
    assert not example["normal"][:, :3].any()
    assert example["normal_valid"][:, 3:].all()


def grey_of_4_bits():
    buffer = io.BytesIO()
    Image.new("L", (SIZE, SIZE), 1).save(buffer, "PNG", bits=4)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("depth"), r"movi_e/24x24, record 0: unknown feature of MOVi 'depth'"),
        (lambda r: r.update(depth=[b"PNG"] * FRAMES), r"record 0: an image does not decode"),
        (lambda r: r.update(segmentations=[png(np.full((SIZE, SIZE, 1), 99, np.uint8))] * FRAMES), r"has the id 99"),
        (lambda r: r.update(segmentations=[grey_of_4_bits()] * FRAMES), r"an image is stored as L;4"),
        (lambda r: r.update(depth=r["segmentations"]), r"'depth' has images of uint8 with 1 channels; expected uint16"),
        (
            lambda r: r.update(normal=r["video"]),
            r"'normal' has images of uint8 with 3 channels; expected uint16 with 3",
        ),
        (
            lambda r: r.update({"camera/focal_length": np.float32([np.nan])}),
            r"record 0: feature 'camera/focal_length' holds numbers that are not finite",
        ),
    ],
)
def test_a_bad_record_is_named(records, tmp_path, change, message):
    record = dict(records[0])
    change(record)
    with pytest.raises(UserError, match=message):
        read(record, tmp_path)[0]


def truncate(folder):
    file = next(folder.glob("*train*00000-of*"))
    file.write_bytes(file.read_bytes()[:-4000])


def to_tfrecord(folder):
    for file in folder.iterdir():
        file.rename(str(file).replace("array_record", "tfrecord"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, r"'movi_e/24x24' is not in .*gs://kubric-public/tfds/movi_e/24x24.*array_record"),
        (to_tfrecord, r"no files in the format array_record.*tfds convert_format"),
        (
            lambda folder: next(folder.glob("*train*00001-of*")).unlink(),
            r"half copied: it lacks movi_e-train.array_record-00001-of-00002",
        ),
        (truncate, r"24x24/1.0.0' cannot be read"),
        (
            lambda folder: (folder / "movi_e-train.array_record-00002-of-00003").touch(),
            r"holds files of two preparations: train is cut into [23] and into [23]",
        ),
    ],
)
def test_bad_files_are_named(data_dir, tmp_path, harm, message):
    shutil.copytree(data_dir / NAME, tmp_path / NAME)
    harm(tmp_path / NAME / "1.0.0")
    with pytest.raises(UserError, match=message):
        list(movi(NAME, data_dir=str(tmp_path)).split("train"))


def test_what_an_interrupted_preparation_has_left_is_no_version(data_dir, tmp_path):
    shutil.copytree(data_dir / NAME, tmp_path / NAME)
    expected = len(movi(NAME, data_dir=str(tmp_path)).split("train"))
    for name in ("1.0.0.incompleteA1B2C3", "incomplete.A1B2_1.0.0"):
        (tmp_path / NAME / name).mkdir()
    assert len(movi(NAME, data_dir=str(tmp_path)).split("train")) == expected


def test_mistakes_in_arguments_are_named(data_dir):
    with pytest.raises(UserError, match=r"'movi_x'; did you mean"):
        movi("movi_x/128x128")
    with pytest.raises(UserError, match=r"such as 'movi_e/128x128'"):
        movi("movi_e")
    with pytest.raises(UserError, match=r"frames=0"):
        movi(NAME, frames=0)
    with pytest.raises(UserError, match=r"frames=5\): its videos have 4"):
        movi(NAME, data_dir=str(data_dir), frames=5).split("train")
    with pytest.raises(UserError, match=r"'trian'; did you mean 'train'"):
        movi(NAME, data_dir=str(data_dir)).split("trian")
    with pytest.raises(UserError, match=r"split of movi_e/24x24: 'test'"):
        movi(NAME, data_dir=str(data_dir)).split("test")
