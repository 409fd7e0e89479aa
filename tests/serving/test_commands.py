"""`--mode=predict` and `--mode=export` on files."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from mtljax.errors import UserError
from mtljax.serving import commands
from mtljax.serving.files import clips_of, found, names_of
from mtljax.train.run import config_file
from tests.runs import finish, launch
from tests.serving import sets


@pytest.fixture(scope="module")
def predictions(workdir, photos, tmp_path_factory):
    """What is left for two good files and one that is none, in one batch."""
    (photos / "bad.png").write_text("no picture")
    out = tmp_path_factory.mktemp("predictions")
    status = commands.predict(config_file.get_config(str(workdir)), workdir, f"{photos}/*.*g", out)
    (photos / "bad.png").unlink()
    assert status == 1
    return out


def test_each_file_gets_a_picture_arrays_and_plain_values(predictions, run, photos):
    assert sorted(file.name for file in predictions.iterdir()) == [
        f"{name}.{kind}" for name in ("a", "b", "c") for kind in ("json", "npz", "png")
    ]
    told = json.loads((predictions / "a.json").read_text())
    assert list(told["tasks"]) == list(sets.TASKS)
    assert told["tasks"]["kind"]["class"] in ("finch", "owl", "wren")
    with Image.open(predictions / "a.png") as picture:
        assert picture.size[0] >= 6 * 50
    with np.load(predictions / "a.npz") as arrays:
        assert arrays["depth"].shape == arrays["segment"].shape == (40, 50)
        wanted = run.predict([photos / "a.png"])
        np.testing.assert_allclose(arrays["depth"], wanted["depth"][0, ..., 0], rtol=1e-4)
        np.testing.assert_array_equal(arrays["points"].shape, (2, 2))
    with np.load(predictions / "c.npz") as arrays:
        assert arrays["depth"].shape == (30, 20)  # upright, as its EXIF tag says


def test_what_cannot_be_read_is_told(workdir, photos, tmp_path, capsys):
    (photos / "bad.png").write_text("no picture")
    try:
        config = config_file.get_config(str(workdir))
        assert commands.predict(config, workdir, str(photos), tmp_path, ["kind"]) == 1
    finally:
        (photos / "bad.png").unlink()
    said = capsys.readouterr()
    assert "bad.png' does not decode" in said.err
    assert "1 of 4 images could not be read" in said.err
    assert f"predictions: {tmp_path}" in said.out


def test_files_that_are_not_there_are_told(photos):
    with pytest.raises(UserError, match=r"no .jpg or .jpeg or .png file is there; 1 files of other kinds"):
        found(f"{photos}/*.txt")
    with pytest.raises(UserError, match="expected such as"):
        found("")
    assert [file.name for file in found(f"{photos}/a.png;{photos}")] == ["a.png", "b.jpg", "c.jpg"]


def test_names_with_brackets_are_names(photos, tmp_path):
    for name in ("a[1].png", "Größe [x].png"):
        (tmp_path / name).write_bytes((photos / "a.png").read_bytes())
        assert found(str(tmp_path / name)) == [tmp_path / name]
    assert [file.name for file in found(f"{tmp_path}/a*")] == ["a[1].png"]


def test_no_picture_takes_the_place_of_an_image(workdir, photos, tmp_path):
    inside = tmp_path / "photos"
    inside.mkdir()
    before = (photos / "a.png").read_bytes()
    (inside / "a.png").write_bytes(before)
    config = config_file.get_config(str(workdir))
    with pytest.raises(UserError, match=r"a.png would take the place of the image '.*a.png'; choose --out"):
        commands.predict(config, workdir, str(inside), tmp_path / "photos" / ".." / "photos", ["kind"])
    assert (inside / "a.png").read_bytes() == before


def test_predictions_stay_in_their_folder(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    files = [pathlib.Path(name) for name in ("../0.png", "../a/0.png", "/0.png")]
    assert list(names_of(files).values()) == [f"{tmp_path.name}/0", "a/0", "root/0"]


def test_a_frame_that_is_compared_with_the_next_is_told_by_the_clip_that_has_it(tmp_path):
    files = [tmp_path / "video" / f"{i}.png" for i in range(6)]
    told = [[int(file.stem) for file in clip.files[-clip.told :]] for clip in clips_of(files, 3, 1, ahead=True)]
    assert told == [[0, 1, 2], [2, 3, 4], [4, 5]]


def test_a_video_is_cut_into_clips(photos, tmp_path):
    files = [tmp_path / "video" / f"{i}.png" for i in range(5)]
    assert [clip.new for clip in clips_of(files, 3)] == [3, 2]
    shared = clips_of([*files, tmp_path / "video" / "5.png"], 3, shared=1)
    assert [([int(file.stem) for file in clip.files], clip.new) for clip in shared] == [
        ([0, 1, 2], 3),
        ([2, 3, 4], 2),
        ([3, 4, 5], 1),
    ]
    for names in (("frame9", "frame10", "frame100"), ("a-09-1", "a-10-0", "b-1"), ("1a", "1b", "01c")):
        [clip] = clips_of([tmp_path / f"{name}.png" for name in sorted(names)], 3)
        assert tuple(file.stem for file in clip.files) == names
    with pytest.raises(UserError, match="5 frames; this run takes clips of 6"):
        clips_of(files, 6)


MISTAKES = {
    "--images goes with --mode=predict.": ["--images=a.png"],
    "--format goes with --mode=export.": ["--mode=predict", "--format=onnx"],
    "--images names no files": ["--mode=predict"],
}


@pytest.mark.slow  # the first of them is among the misuses that tests/test_launch_faults.py tries
@pytest.mark.parametrize("said", MISTAKES)
def test_flags_go_with_their_modes(workdir, compiled, said):
    assert said in finish(launch(compiled, f"--workdir={workdir}", *MISTAKES[said]), status=2)[1]


@pytest.mark.slow
def test_the_command_line_predicts_and_exports(workdir, photos, compiled, tmp_path):
    common = [f"--workdir={workdir}", "--tasks=kind,depth", f"--out={tmp_path}"]
    said, _ = finish(launch(compiled, "--mode=predict", f"--images={photos}/a.png", *common, fresh=True))
    assert f"predictions: {tmp_path}" in said
    assert list(json.loads((tmp_path / "a.json").read_text())["tasks"]) == ["depth", "kind"]
    sets.needs("flatbuffers")
    said, _ = finish(launch(compiled, "--mode=export", *common, fresh=True))
    assert f"exported: {tmp_path}/model.stablehlo" in said
