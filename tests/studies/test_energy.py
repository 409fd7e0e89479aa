"""The study of consistency energy: its table and figures, and what it refuses."""

import csv
import io
import json
from types import SimpleNamespace

import ml_collections
import numpy as np
import pytest

from mtljax import studies
from mtljax.errors import UserError
from mtljax.relations import energy_agreement, roc_auc
from mtljax.studies import energy
from mtljax.train.run import loop
from tests.small_config import get_config
from tests.train.conftest import changed

ENERGIES = {"validation": np.array([1.0, 2.0, 4.0, 3.0]), "other": np.array([5.0, 2.0])}
ERRORS = {"validation": np.array([0.1, 0.3, 0.2, 0.5]), "other": np.zeros(2)}


def test_a_row_a_frame_and_none_has_an_error_without_labels():
    rows = list(csv.DictReader(io.StringIO(energy._table(ENERGIES, ERRORS, frames=2))))
    assert [(row["images"], row["example"], row["frame"]) for row in rows[2:5]] == [
        ("validation", "1", "0"), ("validation", "1", "1"), ("other", "0", "0"),
    ]  # fmt: skip
    assert [row["error"] for row in rows] == ["0.1", "0.3", "0.2", "0.5", "", ""]
    assert [float(row["energy"]) for row in rows] == [1, 2, 4, 3, 5, 2]


def test_figures_are_those_of_the_relations():
    figures = energy._figures(ENERGIES, ERRORS)
    agreement = energy_agreement(ENERGIES["validation"], ERRORS["validation"])
    expected = roc_auc(ENERGIES["other"], ENERGIES["validation"])
    assert figures == {"pearson": agreement.pearson, "spearman": agreement.spearman, "auc_other": expected}


def test_a_frame_without_a_label_has_no_error_and_is_counted():
    errors = {"validation": np.array([0.1, np.nan, 0.2, 0.5]), "other": np.zeros(2)}
    figures = energy._figures(ENERGIES, errors)
    agreement = energy_agreement([1.0, 4.0, 3.0], [0.1, 0.2, 0.5])
    assert (figures["pearson"], figures["spearman"], figures["without_label"]) == (*agreement, 1)
    rows = list(csv.DictReader(io.StringIO(energy._table(ENERGIES, errors, frames=2))))
    assert [row["error"] for row in rows[:3]] == ["0.1", "", "0.2"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"runs": "a"}, "unknown config key 'runs'; did you mean 'run'"),
        ({"run": ""}, "config.run is empty"),
        ({"blur": "2"}, "config.blur='2': expected a value of type float"),
        ({"images": 1}, "config.images=1: expected at least 2"),
        ({}, "no config.json in 'nowhere'"),
    ],
)
def test_mistakes_are_told(given, message, tmp_path):
    config = ml_collections.ConfigDict(
        {"study": "energy", "run": "nowhere", "target": "normals", "paths": {"depth": "there"}, **given}
    )
    with pytest.raises(UserError, match=message):
        studies.run(config, tmp_path)


def test_the_home_stands_in_the_paths_of_the_run_and_of_the_networks(monkeypatch, tmp_path):
    read = []
    tasks = {task: SimpleNamespace(labels=(label,)) for task, label in (("normals", "normal"), ("depth", "depth"))}
    parts = SimpleNamespace(tasks=tasks, config=SimpleNamespace(input="depth"), model=None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(energy, "load", lambda file: read.append(file.parent))
    monkeypatch.setattr(energy, "checked", lambda config: config)
    monkeypatch.setattr(energy.experiment, "build", lambda config: parts)
    monkeypatch.setattr(energy, "newest_variables", lambda workdir: read.append(workdir) or (1, {}))
    config = {"study": "energy", "run": "~/run", "target": "normals", "paths": {"depth": "~/from_depth"}}
    energy._measure(energy._checked(ml_collections.ConfigDict(config)))
    assert read == [tmp_path / "run"] * 2 + [tmp_path / "from_depth"] * 2


@pytest.mark.slow  # two runs; what becomes of their numbers is tested above
def test_energies_of_a_run(ten_frames, tmp_path, capsys):
    made = get_config(str(ten_frames))
    made.batch_size, made.steps, made.panel_images, made.parallel = 2, 2, 0, "mesh(data=1)"
    made.balance = "equal()"
    loop.train(made, tmp_path / "run")
    back = changed(made, input="depth", tasks={"normals": "normals(width=4)"})
    back.optimizers = {"shared": "adam(1e-2)", "normals": "adam(1e-2)"}
    loop.train(back, tmp_path / "from_depth")
    config = ml_collections.ConfigDict({"study": "energy", "run": str(tmp_path / "run"), "target": "normals"})
    config.paths, config.other = {"depth": str(tmp_path / "from_depth")}, f"rgbd({str(ten_frames)!r})"
    studies.run(config, tmp_path / "energy")
    figures = json.loads((tmp_path / "energy" / energy.FIGURES).read_text())
    assert set(figures) == {"pearson", "spearman", "auc_blurred", "auc_noisy", "auc_other"}
    assert figures["auc_other"] == 0.5  # the same images
    assert "auc_noisy: " in capsys.readouterr().out
    config.paths = {"normals": str(tmp_path / "from_depth")}
    with pytest.raises(UserError, match=r"from_depth' was trained from input='depth'; expected 'normal'"):
        studies.run(config, tmp_path / "other")
