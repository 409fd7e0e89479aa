"""Exported networks, run where mtljax is not."""

import dataclasses
import json
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.serving.export import onnx
from mtljax.serving.export.function import Served, must_agree
from mtljax.train.run.inputs_file import shapes
from tests.serving import sets

TASKS = ["depth", "kind"]
IMAGES = np.random.default_rng(3).random((3, sets.H, sets.W, 3), np.float32)
WITH_JAX = """
import pathlib, sys, jax, numpy as np
images = np.load("images.npy")
found = jax.export.deserialize(pathlib.Path("model.stablehlo").read_bytes()).call(images)
np.savez("found.npz", **found)
assert not {"mtljax", "flax"} & set(sys.modules)
"""
WITH_ONNX = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
np.savez("found.npz", **dict(zip(names, session.run(names, {"images": np.load("images.npy")}))))
assert not {"mtljax", "jax"} & set(sys.modules)
"""


def fresh(folder, script, images=IMAGES):
    """What an exported network says in a process of its own."""
    np.save(folder / "images.npy", images)
    done = subprocess.run([sys.executable, "-I", "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "found.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    sets.needs("flatbuffers")
    folder = tmp_path_factory.mktemp("exported")
    assert run.export(folder, tasks=TASKS) == folder / "model.stablehlo"
    return folder


def test_stablehlo_says_the_same_in_a_fresh_process(run, exported):
    found, wanted = fresh(exported, WITH_JAX), run.predict(IMAGES, TASKS)
    assert sorted(found) == TASKS
    for name in TASKS:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_stablehlo_takes_other_sizes_where_the_network_does(run, exported):
    told = json.loads((exported / "preprocessing.json").read_text())
    assert told["input"]["shape"] == ["batch", "8*height", "8*width", 3]
    large = np.random.default_rng(4).random((2, 32, 40, 3), np.float32)
    found, wanted = fresh(exported, WITH_JAX, large), run.model.apply(run.variables, large, tasks=TASKS)
    for name in TASKS:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-4)


def test_onnx_says_the_same_in_a_fresh_process(run, tmp_path):
    sets.needs("jax2onnx", "onnxruntime")
    run.export(tmp_path, "onnx", TASKS)
    found, wanted = fresh(tmp_path, WITH_ONNX), run.predict(IMAGES, TASKS)
    assert sorted(found) == TASKS
    for name in TASKS:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-4)


PASSES = ("remove_redundant_transpose_pairs_ir", "fold_ir")


@pytest.mark.parametrize("listed", [False, True])
def test_transposes_are_kept_and_the_converter_is_left_as_it_was(listed, monkeypatch):
    """As jax2onnx has its passes: functions of a module, called by name (0.13), or a list of them (0.17)."""
    ran = []
    converter = types.SimpleNamespace(**{name: lambda graph, name=name: ran.append(name) for name in PASSES})
    if listed:
        converter._OPTIMIZER_PASSES = tuple(types.SimpleNamespace(name=n, run=vars(converter)[n]) for n in PASSES)

    def optimize():
        if listed:
            return [one.run(None) for one in converter._OPTIMIZER_PASSES]
        return [getattr(converter, name)(None) for name in PASSES]

    monkeypatch.setitem(sys.modules, "jax2onnx.converter.ir_optimizations", converter)
    before = dict(vars(converter))
    with onnx._transposes_kept():
        optimize()
    assert ran == ["fold_ir"]
    assert vars(converter) == before


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["ResNet(depth=18, width=4)", "ViT(size='S', depth=1, patch=8)"])
def test_onnx_holds_residual_networks_and_transformers(encoder, tmp_path):
    """What was converted is compared on its way, in ONNX Runtime."""
    sets.needs("jax2onnx", "onnxruntime")
    made = sets.config(tasks={name: sets.TASKS[name] for name in TASKS}, encoder=encoder)
    run = mtl.load(sets.leave(made, tmp_path / "run"))
    assert run.export(tmp_path / "out", "onnx").is_file()


def test_parameters_of_other_tasks_are_left_out(run, exported):
    from safetensors.numpy import load_file

    found = load_file(exported / "parameters.safetensors")
    parts = {name.split("/")[1] for name in found}
    assert parts == {"encoder", "heads_depth", "heads_kind"}
    stem = next(name for name in found if name.startswith("params/encoder/down1_conv1"))
    np.testing.assert_array_equal(found[stem], run.variables["params"]["encoder"]["down1_conv1"]["kernel"])


def test_statistics_of_batches_are_no_parameters_on_the_card(run, exported, workdir):
    """A run counts those that are trained; the card counted what lies in the file."""
    from mtljax.serving.export.card import card
    from mtljax.serving.export.function import Served

    network = run.network.asked(TASKS)
    statistics = {"encoder": {"norm": {"mean": np.zeros(7, np.float32)}}}
    network = dataclasses.replace(network, variables={**network.variables, "batch_stats": statistics})
    text = card(Served(network), run.config, workdir, json.loads((exported / "preprocessing.json").read_text()))
    assert text.split("\n## ")[0] == (exported / "README.md").read_text().split("\n## ")[0]


def test_how_inputs_are_prepared_and_outputs_read_is_told(exported):
    told = json.loads((exported / "preprocessing.json").read_text())
    assert (told["input"]["height"], told["input"]["width"], told["input"]["divide_by"]) == (sets.H, sets.W, 255)
    assert told["outputs"]["kind"]["names"] == ["finch", "owl", "wren"]
    assert told["outputs"]["depth"]["unit"] == "metres"
    assert list(told["outputs"]) == TASKS
    text = (exported / "README.md").read_text()
    for part in ("| depth | batch ×", "finch, owl, wren", "jax.export.deserialize", '"batch_size": 4', "not been eval"):
        assert part in text


def test_figures_stand_on_the_card(run, exported, workdir, tmp_path):
    from mtljax.serving.export.card import card

    line = {"step": run.step, "split": "validation", "depth/AbsRel": 0.125}
    later, constant = {"step": run.step + 3, "depth/AbsRel": 0.5}, {"split": "constant"}
    told, texts = json.loads((exported / "preprocessing.json").read_text()), []
    for lines in ([line, line | later, line | constant], [line | later, line | constant]):
        (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        try:
            texts.append(card(Served(run.network.asked(TASKS)), run.config, workdir, told))
        finally:
            (workdir / "metrics.jsonl").unlink()
    told["outputs"]["kind"]["names"][0] = "finch|tit"
    assert "| finch\\|tit, owl, wren |" in card(Served(run.network.asked(TASKS)), run.config, workdir, told)
    assert "| depth | AbsRel | 0.125 | 0.125 | lower |" in texts[0]  # of its own step, whatever came later
    assert "| this network |" in texts[0]
    assert "| depth | AbsRel | 0.5 | 0.125 | lower |" in texts[1]
    assert f"| after step {run.step + 3} |" in texts[1]
    assert f"and not {run.step}, at which the run was not evaluated" in texts[1]


def test_a_scalar_has_no_axes_among_the_parameters():
    from mtljax.serving.export.folder import _by_path

    assert _by_path({"params": {"alpha": jnp.float32(2), "w": jnp.ones((2, 1)).T}})["params/alpha"].shape == ()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_whose_own_numbers_are_not_finite_is_told_as_such(value):
    """Whatever the file says: it may do just what the network does."""
    wanted = {"depth": np.array([1.0, value], np.float32)}
    for found in (wanted, {"depth": np.ones(2)}):
        with pytest.raises(UserError, match="the network itself gives numbers that are not finite in depth"):
            must_agree("model.onnx", found, wanted)
    with pytest.raises(UserError, match=r"model\.onnx differs from the network"):
        must_agree("model.onnx", wanted, {"depth": np.ones(2)})


def test_files_are_tried_on_numbers_as_the_run_was_given():
    given = {"inputs": {"numbers": {"shape": [4], "dtype": "int32", "low": 1.0, "high": 9.0},
                        "positions": {"shape": [4, 3], "dtype": "float32", "low": -8.0, "high": -2.0}}}  # fmt: skip
    network = types.SimpleNamespace(given=shapes(given), frames=None, inputs={"given": given})
    found = Served(network).sample(50)
    assert set(found["numbers"].ravel()) == set(range(1, 10))
    assert found["numbers"].dtype == np.int32
    assert -8 <= found["positions"].min() < found["positions"].max() <= -2
    assert found["positions"].shape == (50, 4, 3)


def test_what_cannot_be_exported_is_told(run, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="did you mean 'onnx'"):
        run.export(tmp_path, "onx")
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r"pip install 'mtljax\[export\]'"):
        run.export(tmp_path, "onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs flatbuffers"):
        run.export(tmp_path, "stablehlo")
    assert not list(tmp_path.iterdir())
