"""`scenes` through TFDS: prepared, read, refused, and independent of who renders it."""

import concurrent.futures
import functools
import io
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mtljax.data import DataSet, Source, scenes
from mtljax.data.quiet import quiet_tfds
from mtljax.data.scenes import CLASSES, parallel
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.parallel import rendered, workers
from mtljax.data.scenes.render import render_clip
from mtljax.errors import UserError

with quiet_tfds():
    from tensorflow_datasets.core import shuffle

    from mtljax.data.scenes.tfds_builder import scenes_dataset_builder

FEW = {"train": 6, "validation": 3, "test": 2}
ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def few_clips():
    """The configuration `tiny` with a few clips, rendered in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for split, number in FEW.items():
            patch.setitem(scenes_dataset_builder.Scenes.BUILDER_CONFIGS[0].clips, split, number)
        patch.setattr(scenes_dataset_builder, "workers", functools.partial(workers, 1))
        yield


@pytest.fixture(scope="module")
def tiny(few_clips, tmp_path_factory):
    data = scenes("tiny", str(tmp_path_factory.mktemp("tfds")))
    data.split("train")
    return data


@pytest.fixture(scope="module")
def direct():
    return [render_clip(32, 2, scenes_dataset_builder.SEED, "train", index) for index in range(FEW["train"])]


def run_script(text, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{text}")
    return subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, check=False)


def test_is_a_data_set_of_every_split(tiny):
    assert isinstance(tiny, DataSet)
    assert tiny.name == "scenes/tiny"
    for split, number in FEW.items():
        source = tiny.split(split)
        assert isinstance(source, Source)
        assert len(source) == number


def test_features_have_the_shapes_and_dtypes_of_the_schema(tiny):
    record = tiny.split("train").records[0]
    n = len(record["instances"]["category"])
    assert 3 <= n <= 10
    schema = {
        "video": ((2, 32, 32, 3), np.uint8),
        "depth": ((2, 32, 32, 1), np.float32),
        "normal": ((2, 32, 32, 3), np.float32),
        "segmentations": ((2, 32, 32, 1), np.uint8),
        "semantic": ((2, 32, 32, 1), np.uint8),
        "edge": ((2, 32, 32, 1), np.uint8),
        "forward_flow": ((2, 32, 32, 2), np.float32),
        "backward_flow": ((2, 32, 32, 2), np.float32),
        "camera/positions": ((2, 3), np.float32),
        "camera/quaternions": ((2, 4), np.float32),
        "camera/intrinsics": ((3, 3), np.float32),
        "instances/bboxes": ((n, 2, 4), np.float32),
        "instances/positions": ((n, 2, 3), np.float32),
        "instances/quaternions": ((n, 2, 4), np.float32),
        "instances/scale": ((n, 3), np.float32),
        "instances/category": ((n,), np.int64),
        "instances/visibility": ((n, 2), np.int32),
    }
    nested = {f"{key}/{inner}": v for key in ("camera", "instances") for inner, v in record[key].items()}
    flat = {key: value for key, value in record.items() if not isinstance(value, dict)} | nested
    assert {key: (np.shape(v), np.asarray(v).dtype) for key, v in flat.items()} == schema


def test_what_is_read_is_what_was_rendered(tiny, direct):
    source = tiny.split("train")
    videos = [clip["video"].tobytes() for clip in direct]
    order = [videos.index(source[i]["image"].tobytes()) for i in range(len(source))]
    assert sorted(order) == list(range(len(direct)))
    for i, index in enumerate(order):
        np.testing.assert_equal(source[i], to_example(direct[index], i))


def test_examples_are_canonical(tiny, direct):
    example = tiny.split("train")[0]
    for key, channels, dtype in (("semantic", 1, np.int32), ("depth", 1, np.float32), ("normal", 3, np.float32)):
        assert example[key].shape == (2, 32, 32, channels)
        assert example[key].dtype == dtype
        assert example[f"{key}_valid"].shape == (2, 32, 32, 1)
        assert example[f"{key}_valid"].all()
    assert example["image"].dtype == example["edge"].dtype == np.uint8
    assert example["edge_valid"].all()
    for key, invalid in (("forward_flow", 1), ("backward_flow", 0)):
        assert not example[f"{key}_valid"][invalid].any()
        assert example[f"{key}_valid"][1 - invalid].all()
        assert not example[key][invalid].any()
        assert example[key].dtype == np.float32


def test_motion_has_labels_and_each_frame_a_place_of_its_own(tiny):
    source = tiny.split("train")
    examples = [source[i] for i in range(len(source))]
    for key, shape, dtype in (("moving", (2, 32, 32, 1), np.uint8), ("ego_motion", (2, 6), np.float32)):
        for example in examples:
            assert (example[key].shape, example[key].dtype) == (shape, dtype)
            assert example[f"{key}_valid"].shape == (*shape[:-1], 1)
            assert example[f"{key}_valid"][0].all()
            assert not example[f"{key}_valid"][1].any()
            assert not example[key][1].any()
        assert np.any([example[key] for example in examples])
    assert [example["frame_index"].tolist() for example in examples] == [[3 * i, 3 * i + 1] for i in range(6)]
    assert all(example["frame_index_valid"].all() for example in examples)
    assert examples[0]["frame_index"].dtype == np.int32


def test_instances_are_padded_to_ten_with_a_mask(direct):
    for clip in direct:
        example, n = to_example(clip), len(clip["instances"]["category"])
        np.testing.assert_array_equal(example["instances_valid"], np.arange(10) < n)
        for key, value in example["instances"].items():
            assert len(value) == 10
            np.testing.assert_array_equal(value[:n], clip["instances"][key])
            assert not value[n:].any()
        assert example["instances"]["category"].dtype == np.int32


def test_source_survives_pickling(tiny):
    source = tiny.split("validation")
    np.testing.assert_equal(pickle.loads(pickle.dumps(source))[1], source[1])


def test_builder_lists_five_configurations_and_the_class_names(tiny):
    builders = scenes_dataset_builder.Scenes.builder_configs
    sizes = {name: (config.size, config.frames) for name, config in builders.items()}
    assert sizes == {"tiny": (32, 2), "small": (64, 4), "medium": (128, 8), "large": (256, 24), "tracks": (64, 12)}
    assert {name: config.step for name, config in builders.items() if config.step != 1} == {"tracks": 2}
    assert builders["tracks"].clips == {"train": 640, "validation": 96, "test": 96}
    assert all(min(builders[name].clips[split] for split in FEW) > 0 for name in sizes)
    info = tiny.split("train").records.dataset_info
    assert tuple(info.features["instances"]["category"].names) == CLASSES
    assert info.file_format.value == "array_record"
    assert "tensorflow" not in sys.modules


def test_clips_do_not_depend_on_how_they_are_shared_out(direct, monkeypatch):
    jobs = (32, 2, scenes_dataset_builder.SEED, "train", 5)
    with workers(1) as one, concurrent.futures.ThreadPoolExecutor(3) as three:
        alone = list(rendered(one, *jobs))
        monkeypatch.setattr(parallel, "_PIXELS_A_JOB", 1)  # each clip is a job of its own
        monkeypatch.setattr(os, "cpu_count", lambda: 1)  # and two are ahead at the most
        together = list(rendered(three, *jobs))
    assert [index for index, _ in together] == list(range(5))
    np.testing.assert_equal(together, alone)
    np.testing.assert_equal(together[3][1]["depth"], direct[3]["depth"])


def test_more_than_a_gigabyte_is_shuffled_without_tensorflow(few_clips, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 100_000)  # less than a split has
    large = scenes("tiny", str(tmp_path))
    ours, theirs = large.split("train"), tiny.split("train")
    assert len(ours) == len(theirs)
    np.testing.assert_equal(ours[3], theirs[3])
    assert not list(tmp_path.rglob("*bucket*"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_half_finished_preparation_is_begun_anew_under_a_progress_bar(few_clips, tmp_path):
    def broken(*args):
        yield from list(rendered(*args))[:2]
        raise KeyboardInterrupt

    data = scenes("tiny", str(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes_dataset_builder, "rendered", broken)
        with pytest.raises(KeyboardInterrupt):
            data.split("train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", Terminal())
        assert len(data.split("train")) == FEW["train"]
        shown = sys.stderr.getvalue()
    total = sum(FEW.values())
    assert re.search(rf"rendering scenes/tiny: 100%.*{total}/{total}", shown)
    assert len(data.split("test")) == FEW["test"]


@pytest.mark.slow
def test_a_script_without_a_main_guard_prepares_once_and_quietly_and_imports_tfds_when_it_prepares(tiny, tmp_path):
    done = run_script(
        "print('script runs')\n"
        "from mtljax.data import scenes\n"
        "print({'tensorflow_datasets', 'tensorflow', 'grain'} & set(sys.modules))\n"
        "from mtljax.data.quiet import quiet_tfds\n"
        "with quiet_tfds():\n"
        "    from mtljax.data.scenes.tfds_builder.scenes_dataset_builder import Scenes\n"
        f"Scenes.BUILDER_CONFIGS[0].clips.update({FEW})\n"
        f"print(len(scenes('tiny', {str(tmp_path / 'data')!r}).split('train')))\n",
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"script runs\nset()\n{FEW['train']}\n", "")
    # Its clips were rendered by processes on all cores, those of `tiny` by a thread.
    theirs, ours = (data.split("train") for data in (scenes("tiny", str(tmp_path / "data")), tiny))
    np.testing.assert_equal([theirs[i] for i in range(len(theirs))], [ours[i] for i in range(len(ours))])


@pytest.mark.parametrize("damage", [lambda f: os.truncate(f, f.stat().st_size // 2), pathlib.Path.unlink])
def test_damaged_files_are_told_with_their_folder(tiny, tmp_path, damage):
    shutil.copytree(tiny.data_dir, tmp_path / "data")
    [file] = (tmp_path / "data").rglob("*train.array_record*")
    damage(file)
    with pytest.raises(UserError, match=rf"example 0 cannot be read.*Delete the folder {file.parent}"):
        scenes("tiny", str(tmp_path / "data")).split("train")


def test_unknown_configuration_and_split_name_the_nearest():
    with pytest.raises(UserError, match=r"'tinny'; did you mean 'tiny'"):
        scenes("tinny")
    with pytest.raises(UserError, match=r"'validaton'; did you mean 'validation'"):
        scenes("tiny").split("validaton")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "data")
    with pytest.raises(UserError, match=folder):
        scenes("tiny", folder).split("train")
