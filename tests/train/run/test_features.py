"""Frozen encoders: what they make of every example, kept beside their run, and readouts of it."""

import errno
import json

import jax
import numpy as np
import pytest

from mtljax.data import mix
from mtljax.data.part import Part
from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.models.readout import Readout, packed, unpacked
from mtljax.train import default_config
from mtljax.train.config.checks import fit
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import build
from mtljax.train.run import features
from mtljax.train.run.features import frozen_features
from mtljax.train.spread import hosts
from tests.several import together


class Data:
    """Two clips of two frames."""

    name = "two clips"
    size = (4, 4)

    def split(self, name):
        labels = [{"label": np.array(i), "label_valid": np.array(True)} for i in range(2)]
        return [{"image": np.full((2, *self.size, 3), i, np.uint8), **label} for i, label in enumerate(labels)]


def test_levels_are_packed_and_unpacked_as_they_were():
    rng = np.random.default_rng(0)
    levels = [rng.normal(size=shape).astype(np.float32) for shape in ((2, 4, 6, 3), (2, 2, 3, 5), (2, 7))]
    x = packed(levels)
    assert x.shape == (2, 4, 6, 3 + 2 + 1)
    for level, found in zip(levels, unpacked(x, [level.shape[1:] for level in levels]), strict=True):
        np.testing.assert_array_equal(level, found)


def test_features_of_another_encoder_are_refused():
    with pytest.raises(UserError, match="not those of encoders with levels"):
        unpacked(np.ones((2, 4, 4, 9)), [(4, 4, 3), (2, 2, 5)])


def test_a_readout_has_its_head_alone_to_train_and_predicts_for_the_pixels_of_the_image():
    model = Readout(heads={"a": heads.Dense(2, width=4)}, levels=((4, 4, 3), (2, 2, 8)), size=(8, 8))
    x = np.ones((2, 3, 4, 4, 5), np.float32)  # clips of three frames
    found, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
    assert found["a"].shape == (2, 3, 8, 8, 2)
    assert set(jax.tree.leaves(model.groups(variables["params"]))) == {"a"}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs that were not trained, whose encoders add a number; and how often each was computed."""
    computed = []

    def compute(run, source, folder, untrained):
        computed.append(run.name)
        for i, shape in enumerate(((4, 4, 2), (2, 2, 3))):
            level = np.stack([np.full((2, *shape), example["image"].mean()) for example in source])
            np.save(folder / f"{i}.npy", (level + (run.name == "b")).astype(np.float32))
        return {"levels": 2, "examples": len(source)}

    monkeypatch.setattr(features, "_compute", compute)
    for name in "ab":
        (tmp_path / name / "checkpoints" / "10").mkdir(parents=True)
        (tmp_path / name / "checkpoints.crc32.json").write_text(json.dumps({"10": {"state": 1}}))
    return tmp_path, computed


def test_features_of_several_encoders_are_concatenated_and_computed_once(runs):
    base, computed = runs
    for _ in range(2):
        data = frozen_features(Data(), [str(base / "a"), str(base / "b")])
        examples = data.split("train")
        assert len(examples) == 2
        example = examples[1]
    assert computed == ["a", "b"]
    assert example["label"] == 1
    fine, coarse = unpacked(example["image"], [(4, 4, 4), (2, 2, 6)])
    np.testing.assert_array_equal(fine[0, 0, 0], [1, 1, 2, 2])
    np.testing.assert_array_equal(coarse[1, 0, 0], [1, 1, 1, 2, 2, 2])


def test_features_have_the_size_of_the_images_by_which_tasks_know_where_labels_lie(runs):
    base, _ = runs
    data = Data()
    data.size = (8, 16)
    image = frozen_features(data, [str(base / "a")]).split("train")[1]["image"]
    assert image.shape == (2, 8, 16, 1 + 1)
    fine, coarse = unpacked(image, [(4, 4, 2), (2, 2, 3)])
    assert fine.shape == (2, 4, 4, 2)
    np.testing.assert_array_equal([fine.min(), fine.max(), coarse.min(), coarse.max()], 1)


@pytest.mark.parametrize(
    "levels",
    [((4, 4, 4), (2, 2, 5)), ((4, 4, 3), (2, 2, 6)), ((2, 8, 4), (2, 2, 6)), ((4, 4, 4),), ()],
    ids=["as deep, packed", "a channel less", "another shape", "one level", "none"],
)
def test_a_readout_of_other_levels_than_those_of_the_features_is_refused_with_the_right_ones(runs, levels):
    base, _ = runs
    data = frozen_features(Data(), [str(base / "a"), str(base / "b")])
    config = default_config()
    config.data, config.model = "given('features')", f"mtljax.models.readout:Readout(levels={levels!r})"
    config.tasks = {"label": "classify(num_classes=2, label='label')"}
    config.optimizers = {"label": "sgd(0.1)"}
    config.batch_size, config.parallel = 2, "mesh(data=1)"
    parts = build(checked(config), {"data": data})
    with pytest.raises(UserError, match=r"Readout\(levels=\(\(4, 4, 4\), \(2, 2, 6\)\), size=\(4, 4\)\)"):
        fit(parts)
    right = config.model.replace(repr(levels), "[[4, 4, 4], [2, 2, 6]]")
    config.model = right
    assert fit(build(checked(config), {"data": data})).predictions["label"].shape[-1] == 2


def test_a_run_maps_the_features_of_a_split_once_and_knows_the_home(runs, monkeypatch):
    base, _ = runs
    monkeypatch.setenv("HOME", str(base))
    data = frozen_features(Data(), ["~/a"])
    assert data.split("train") is data.split("train")


def test_of_several_hosts_all_compute_where_the_first_has_none_and_the_first_alone_writes(runs, monkeypatch):
    """Reading the network takes all: a host that finds features which the first did not must read it, too."""
    base, computed = runs
    frozen_features(Data(), [str(base / "a")]).split("train")
    asked, answers = [], iter([0, 1])
    monkeypatch.setattr(hosts, "first", lambda: False)
    monkeypatch.setattr(hosts, "of_first", lambda number: asked.append(number) or next(answers))
    frozen_features(Data(), [str(base / "a")]).split("train")
    assert computed == ["a", "a"]
    assert asked == [False, False]  # whether others compute, and whether there are none
    monkeypatch.setattr(hosts, "of_first", lambda number: 0)
    (base / "a" / "features" / "train" / "about.json").unlink()
    with pytest.raises(UserError, match="the first host has found features"):
        frozen_features(Data(), [str(base / "a")]).split("train")


def test_a_full_disk_is_told_by_all_hosts(runs, monkeypatch):
    base, _ = runs

    def full(file, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(features, "replace_text", full)
    first, second = together(*[lambda: frozen_features(Data(), [str(base / "a")]).split("train")] * 2)
    assert "features/train': No space left on device" in str(first)
    assert str(second) == f"process 0 of this run: {first}"


def test_a_frozen_network_that_changed_is_told(runs):
    base, _ = runs
    data = frozen_features(Data(), [str(base / "a")])
    data.split("train")
    (base / "a" / "checkpoints.crc32.json").write_text(json.dumps({"10": {"state": 2}}))
    with pytest.raises(
        UserError, match=r"but the frozen network is now data two clips, examples 2, images [0-9]+, step 10, checksum"
    ):
        frozen_features(Data(), [str(base / "a")]).split("train")


def test_features_of_other_data_are_told(runs):
    base, _ = runs
    frozen_features(Data(), [str(base / "a")]).split("train")
    other = Data()
    other.name = "others"
    with pytest.raises(UserError, match=r"are of data two clips.*now data others"):
        frozen_features(other, [str(base / "a")]).split("train")


def test_features_of_a_set_of_the_same_name_with_other_examples_are_told(runs):
    base, _ = runs
    frozen_features(Data(), [str(base / "a")]).split("train")
    fewer, others = Data(), Data()
    fewer.split = lambda name: Data().split(name)[:1]
    others.split = lambda name: Data().split(name)[::-1]
    for data in (fewer, others):
        with pytest.raises(UserError, match=r"are of data two clips, examples 2.*now data two clips, examples [12]"):
            frozen_features(data, [str(base / "a")]).split("train")


@pytest.mark.parametrize("exact", [True, False])
def test_of_a_mix_shares_repeats_and_kinds_stay_what_they_are(runs, exact):
    """A part of the examples, such as transfers see, is then the part that networks from scratch see."""
    base, _ = runs

    class Of(Data):
        def __init__(self, number):
            self.name, self.number, self.kinds = f"{number} clips", number, {"spots": "points"}

        def split(self, name):
            return [example | {"spots": np.ones((2, 1, 2))} for example in self.number * super().split(name)]

    mixed = mix({"few": Of(1), "many": Of(6)}, ratio={"few": 1, "many": 1}, size=(4, 4), exact=exact)
    data, read = frozen_features(mixed, [str(base / "a")]), ("label",)
    assert data.kinds == mixed.kinds != {}
    seen, source = data.of_labels(read).split("train"), mixed.of_labels(read).split("train")
    assert seen.shares == source.shares
    assert (source.shares is not None) is exact
    places = range(len(source))
    for one in ("original", "set_of"):
        assert [getattr(seen, one)(i) for i in places] == [getattr(source, one)(i) for i in places]
    assert (len({source.original(i) for i in places}) < len(source)) is not exact
    kept = [Part(split, 0.5, seed=0) for split in (seen, source)]
    assert kept[0]._indices.tolist() == kept[1]._indices.tolist()


def test_a_network_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="there is no network to freeze"):
        frozen_features(Data(), [str(tmp_path / "none")]).split("train")


def test_encoders_of_two_architectures_are_told(runs):
    base, _ = runs
    frozen_features(Data(), [str(base / "b")]).split("train")
    folder = base / "b" / "features" / "train"
    np.save(folder / "0.npy", np.ones((2, 2, 4, 4, 9), np.float32))
    with pytest.raises(UserError, match="expected runs of one architecture"):
        frozen_features(Data(), [str(base / "a"), str(base / "b")]).split("train")


def test_no_run_is_refused():
    for runs in ([], "runs/a"):
        with pytest.raises(UserError, match="expected a list of one workdir or more"):
            frozen_features(Data(), runs)
