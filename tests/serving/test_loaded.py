"""A run in Python: what `mtl.load` gives, and what it refuses."""

import dataclasses
import json
import pathlib
import shutil
import types

import jax
import numpy as np
import pytest
from PIL import Image

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.serving.images import arrays_in, clips_in
from mtljax.serving.loaded import Loaded
from mtljax.train.run.inputs_file import INPUTS_FILE
from tests.serving import sets

RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 256, (11, sets.H, sets.W, 3), np.uint8)


@pytest.fixture(scope="module")
def predicted(run):
    """Of eleven images, in batches of eight: the last is filled up."""
    return run.predict(IMAGES)


def test_predictions_are_those_of_the_model(run, predicted):
    apply = jax.jit(lambda variables, images: run.model.apply(variables, images))
    wanted = apply(run.variables, IMAGES[:, None].astype(np.float32) / 255)
    assert list(predicted) == list(sets.TASKS)
    for name, found in predicted.items():
        right = np.asarray(wanted[name])
        np.testing.assert_allclose(found, right if right.ndim == 2 else right[:, 0], rtol=1e-4, atol=1e-4)
    assert predicted["depth"].shape == (11, sets.H, sets.W, 1)
    assert predicted["age"].shape == (11, 1)


def test_the_last_batch_is_filled_up_so_that_one_program_serves_all(run):
    network = dataclasses.replace(run.network.asked(["kind"]), programs={})
    sizes = [len(batch["kind"]) for batch in network.predict(({"image": image[None]} for image in IMAGES), 8)]
    assert sizes == [8, 3]
    (program,) = network.programs.values()
    assert program._cache_size() == 1


def test_pictures_of_8_bits_and_of_floats_say_the_same(run, predicted):
    found = run.predict(IMAGES[:8] / np.float32(255), tasks=["depth", "kind"])
    assert list(found) == ["depth", "kind"]
    np.testing.assert_allclose(found["depth"], predicted["depth"][:8], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["kind"], predicted["kind"][:8], rtol=1e-5, atol=1e-5)


def test_maps_have_the_size_of_each_image(run, photos):
    found = run.predict([photos / "a.png", Image.open(photos / "b.jpg"), photos / "c.jpg"])
    assert [x.shape for x in found["depth"]] == [(40, 50, 1), (16, 24, 1), (30, 20, 1)]  # c lies on its side
    assert found["kind"].shape == (3, 3)


def test_answers_are_named(run, predicted):
    answers = run.answers(IMAGES[:1])[0]
    best = int(predicted["kind"][0].argmax())
    assert answers["kind"]["class"] == ("finch", "owl", "wren")[best]
    assert answers["depth"]["unit"] == "metres"
    assert answers["age"]["numbers"] == pytest.approx(predicted["age"][0], rel=1e-4)
    assert sum(answers["segment"]["shares"].values()) == pytest.approx(1, abs=1e-4)
    assert len(answers["points"]["points"]) == 2


def test_pictures_of_all_tasks_are_beside_the_image(run):
    large = RNG.integers(0, 256, (1, 96, 120, 3), np.uint8)
    picture = run.draw(large)[0]
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 6 * 120 + 5 * 4  # the image and five tasks, with gaps
    np.testing.assert_array_equal(picture[-96:, :120], large[0])
    assert len(np.unique(picture[-96:, 2 * 124 : 2 * 124 + 120].reshape(-1, 3), axis=0)) > 3  # depth in its own range


def test_a_run_needs_no_data(workdir, tmp_path, monkeypatch):
    def gone(*_):
        raise UserError("the data is on another machine")

    monkeypatch.setattr(sets, "pictures", gone)
    assert mtl.load(workdir).predict(IMAGES[:1])["kind"].shape == (1, 3)
    earlier = shutil.copytree(workdir, tmp_path / "earlier")
    (earlier / INPUTS_FILE).unlink()
    with pytest.raises(UserError, match=r"no inputs.json .* earlier versions.*another machine"):
        mtl.load(earlier)


def test_a_run_of_an_earlier_version_looks_its_inputs_up(workdir, tmp_path):
    earlier = shutil.copytree(workdir, tmp_path / "earlier")
    (earlier / INPUTS_FILE).unlink()
    again = mtl.load(earlier).network.inputs
    assert json.loads(json.dumps(again)) == json.loads((workdir / INPUTS_FILE).read_text())


def test_what_a_run_was_given_and_taught_is_written(workdir):
    told = json.loads((workdir / INPUTS_FILE).read_text())
    assert told["given"]["image"] == {"shape": [1, sets.H, sets.W, 3], "dtype": "uint8", "low": 0.0, "high": 1.0}
    assert told["labels"]["kind"]["names"] == ["finch", "owl", "wren"]
    assert 0.1 <= told["labels"]["depth"]["arrays"]["low"] < told["labels"]["depth"]["arrays"]["high"] <= 2


def test_metrics_are_the_lines_that_were_logged(run, workdir):
    assert run.metrics == []
    (workdir / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": null}\n{"step": 2, "spl')
    try:
        assert run.metrics == [{"step": 1, "split": "train", "loss": None}]
    finally:
        (workdir / "metrics.jsonl").unlink()


@pytest.fixture(scope="module")
def of_clips(tmp_path_factory):
    tasks = {"kind": sets.TASKS["kind"], "segment": sets.TASKS["segment"]}
    return mtl.load(sets.leave(sets.config("clips", tasks), tmp_path_factory.mktemp("clips")))


def test_frames_go_one_by_one_where_no_head_compares_them(of_clips):
    clips = RNG.integers(0, 256, (2, 2, sets.H, sets.W, 3), np.uint8)
    by_frame = of_clips.predict(clips.reshape(4, sets.H, sets.W, 3), tasks=["segment"])["segment"]
    by_clip = of_clips.predict(clips, tasks=["segment"])["segment"]
    np.testing.assert_allclose(by_clip.reshape(by_frame.shape), by_frame, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match=r"shape \(1, 16, 24, 3\); expected \(2, H, W, C\)"):
        of_clips.predict(clips[:1, 0])  # `kind` is of a whole clip


def test_vectors_are_asked_as_arrays(tmp_path):
    made = sets.config("vectors", {"age": sets.TASKS["age"]}, "MLP((4,))")
    run = mtl.load(sets.leave(made, tmp_path / "run"))
    assert run.predict(np.ones((3, 5)))["age"].shape == (3, 1)
    assert len(run.answers(np.ones((3, 5)))[0]["age"]["numbers"]) == 1
    with pytest.raises(UserError, match="no images were given to predict for; expected one at least"):
        run.predict(np.ones((0, 5)))
    assert run.answers(np.ones((0, 5))) == []
    with pytest.raises(UserError, match=r"shape \(3, 4\); expected \('N', 5\)"):
        run.predict(np.ones((3, 4)))
    with pytest.raises(UserError, match="given no images"):
        run.draw(np.ones((3, 5)))


def test_whole_numbers_that_the_type_of_the_run_cannot_hold_are_refused_not_wrapped():
    wanted = {"inputs": {"word": jax.ShapeDtypeStruct((2,), np.int32)}}
    network = types.SimpleNamespace(given=wanted)
    [one] = arrays_in(network, {"word": np.array([[3, 2**31 - 1]])})
    assert (one["inputs"]["word"].dtype, one["inputs"]["word"].tolist()) == (np.int32, [3, 2**31 - 1])
    with pytest.raises(UserError, match=r"inputs hold 3 to 4294967297; expected int32, -2147483648 to 2147483647"):
        arrays_in(network, {"word": np.array([[3, 2**32 + 1]])})


def test_vectors_of_8_bits_are_divided_as_in_training():
    given = {"image": {"shape": [2], "dtype": "uint8", "low": 0.0, "high": 1.0}}
    network = types.SimpleNamespace(given={"image": jax.ShapeDtypeStruct((2,), np.float32)}, inputs={"given": given})
    for array in (np.uint8([[0, 51]]), np.float64([[0, 0.2]])):
        [one] = arrays_in(network, array)
        assert one["image"].dtype == np.float32
        np.testing.assert_allclose(one["image"], [0, 0.2], rtol=1e-6)
    for array in (np.float32([[0, 51]]), np.int64([[0, 51]])):
        with pytest.raises(UserError, match="expected uint8, or f"):
            arrays_in(network, array)


def test_numbers_that_the_type_of_the_run_cannot_hold_are_refused_and_not_infinite():
    network = types.SimpleNamespace(given={"inputs": jax.ShapeDtypeStruct((2,), np.float32)})
    with pytest.raises(UserError, match=r"inputs hold 1.0 to 1e\+300; expected numbers that float32 can hold"):
        arrays_in(network, np.array([[1.0, 1e300]]))
    assert np.isinf(arrays_in(network, np.array([[1.0, np.inf]]))[0]["inputs"][1])


def test_batches_of_trees_have_the_size_of_their_arrays(monkeypatch):
    sizes = []
    network = types.SimpleNamespace(
        frames=None,
        names=("age",),
        given={"inputs": {"a": jax.ShapeDtypeStruct((), np.float32)}},
        asked=lambda tasks, clips: network,
        predict=lambda examples, size: sizes.append(size) or iter([{"age": np.zeros((len(examples), 1))}]),
    )
    found = Loaded(pathlib.Path(), None, network).predict({"a": np.zeros(20, np.float32)})
    assert (sizes, found["age"].shape) == ([8], (20, 1))


def test_clips_whose_frames_differ_in_size_are_refused():
    network = types.SimpleNamespace(frames=2)
    with pytest.raises(UserError, match=r"image 0: frames of shapes \[\(2, 3, 3\), \(4, 3, 3\)\]; expected"):
        list(clips_in(network, [[np.zeros((4, 3, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)]]))
    with pytest.raises(UserError, match="image 0 is no array: "):
        list(clips_in(types.SimpleNamespace(frames=1), [[[1, 2], [3]]]))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (300 * np.ones((1, 8, 8, 3), np.float32), "expected uint8, or floats in"),
        (np.full((1, 8, 8, 3), np.nan), "not finite"),
        (np.ones((1, 8, 8, 3), np.int64), "dtype int64"),
        (np.ones((1, 8, 8, 4), np.uint8), "4 channels; expected 3"),
        (np.ones((1, 2, 8, 8, 3), np.uint8), r"shape \(2, 8, 8, 3\); expected"),
        (3, "type int"),
    ],
)
def test_images_that_the_run_was_not_given_are_refused(run, images, said):
    with pytest.raises(UserError, match=said):
        run.predict(images)


def test_what_is_not_there_is_told(run, workdir, tmp_path):
    with pytest.raises(UserError, match="did you mean 'depth'"):
        run.predict(IMAGES, tasks=["dept"])
    with pytest.raises(UserError, match="is no workdir of a run"):
        mtl.load(tmp_path)
    with pytest.raises(UserError, match="did you mean 'model'"):
        mtl.load(workdir, modle=None)
    shutil.copy(workdir / "config.json", tmp_path)
    with pytest.raises(UserError, match="no checkpoint in"):
        mtl.load(tmp_path)


def test_a_checkpoint_of_another_model_is_refused(workdir, tmp_path):
    other = shutil.copytree(workdir, tmp_path / "other")
    text = (other / "config.json").read_text().replace("width=4, levels", "width=5, levels")
    (other / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"not of the model that its config makes:\n  params/encoder"):
        mtl.load(other)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(workdir, tmp_path, capsys):
    other = shutil.copytree(workdir, tmp_path / "other")
    (other / "checkpoints" / "9").mkdir()
    assert mtl.load(other).step == 3
    assert "cannot be read" in capsys.readouterr().err
