"""The data of published protocols, made in their layouts: names, shapes, units, and what is wrong told."""

import pathlib
import runpy
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image

from mtljax import data
from mtljax.data.quiet import quiet_tfds
from mtljax.data.sources import qm9
from mtljax.errors import UserError
from mtljax.train.run import loop

HARTREE = 27.211386245988  # eV
ENERGIES = ("U0", "U", "H", "G")
ATTRIBUTES = [f"Has_{i}" for i in range(39)] + ["Smiling"]


@pytest.fixture(scope="module")
def molecules(tmp_path_factory):
    """QM9 as its own builder prepares it, of made molecules: water's atoms, and a target each."""
    folder = str(tmp_path_factory.mktemp("qm9"))
    with pytest.MonkeyPatch.context() as patch, quiet_tfds():
        import tensorflow_datasets as tfds

        patch.setitem(sys.modules, "pandas", types.ModuleType("pandas"))  # which the builder wants for real files alone
        from tensorflow_datasets.datasets.qm9 import qm9_dataset_builder

        def example(i):
            positions = np.zeros((29, 3), np.float32)
            positions[:3] = [[0, 0, 0.1], [0, 0.8, -0.5], [0, -0.8, -0.5]]
            words = dict.fromkeys(("tag", "SMILES", "SMILES_relaxed", "InChI", "InChI_relaxed"), "O")
            numbers = dict.fromkeys(("A", "B", "C", "gap", *ENERGIES), 0.0)
            found = {"mu": 1.85, "alpha": 6.3, "homo": -0.29, "lumo": 0.07, "r2": 19.0, "zpve": 0.02, "Cv": 6.0}
            atomised = {f"{name}_atomization": -0.3 - i / 10 for i, name in enumerate(ENERGIES)}
            charges = np.pad([8, 1, 1], (0, 26))
            rest = {"num_atoms": 3, "charges": charges, "Mulliken_charges": np.zeros(29, np.float32), "index": i}
            return (
                words
                | numbers
                | found
                | atomised
                | rest
                | {"positions": positions, "frequencies": np.ones(3, np.float32)}
            )

        parts = {"train": range(4), "validation": range(4, 6), "test": range(6, 7)}
        patch.setattr(
            qm9_dataset_builder.Builder,
            "_split_generators",
            lambda self, _: {split: ((i, example(i)) for i in numbers) for split, numbers in parts.items()},
        )
        tfds.builder("qm9/dimenet", data_dir=folder, file_format="array_record").download_and_prepare()
    return data.qm9(folder)


def test_molecules_have_inputs_and_eleven_targets_in_the_units_of_the_tables(molecules):
    data.check(molecules)
    train = molecules.split("train")
    assert [len(molecules.split(name)) for name in ("train", "validation", "test")] == [4, 2, 1]
    example = train[1]
    assert example["inputs"]["numbers"].tolist() == [8, 1, 1] + 26 * [0]
    assert (example["inputs"]["positions"].shape, example["inputs"]["positions"].dtype) == ((29, 3), np.float32)
    expected = {"mu": 1.85, "alpha": 6.3, "homo": -290 * HARTREE, "lumo": 70 * HARTREE, "r2": 19, "zpve": 20 * HARTREE}
    expected |= {"cv": 6.0} | {name: (-300 - 100 * i) * HARTREE for i, name in enumerate(ENERGIES)}
    assert expected.keys() == molecules.meanings.keys()
    for label, value in expected.items():
        np.testing.assert_allclose(example[label], value, rtol=1e-6, err_msg=label)
        assert (example[label].dtype, example[label].shape, example[f"{label}_valid"]) == (np.float32, (), True)
    with pytest.raises(UserError, match="'tests'"):
        molecules.split("tests")


@pytest.mark.slow
def test_molecules_train(molecules, tmp_path):
    get_config = runpy.run_path(str(pathlib.Path(__file__).parents[3] / "configs" / "qm9.py"))["get_config"]
    config = get_config()
    config.data = f"qm9({molecules.data_dir!r})"
    config.batch_size, config.steps, config.eval_every, config.checkpoint_every = 2, 2, 2, 2
    config.parallel, config.seed, config.loader_threads = "mesh(data=1)", 1, 1
    config.model = "MultiTask(encoder=MPNN(width=8, rounds=1, hidden=8))"
    figures = loop.train(config, tmp_path / "run")
    assert np.isfinite([figures[f"{name}/MAE"] for name in config.tasks]).all()


def test_molecules_that_are_not_prepared_want_pandas(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"qm9/dimenet' is not prepared in .* wants pandas: pip install pandas"):
        data.qm9(str(tmp_path)).split("train")


def test_of_several_versions_the_newest_is_read(molecules, tmp_path):
    there = pathlib.Path(molecules.data_dir) / "qm9" / "dimenet" / "1.0.0"
    for version in ("1.9.0", "1.10.0"):
        folder = shutil.copytree(there, tmp_path / "qm9" / "dimenet" / version)
        for file in ("dataset_info.json", "features.json"):
            path = folder / file
            path.write_text(path.read_text().replace('"1.0.0"', f'"{version}"'))
    (tmp_path / "qm9" / "dimenet" / "1.10.0.incompleteABC").mkdir()
    assert qm9._builder(str(tmp_path)).version == "1.10.0"


@pytest.fixture
def faces(tmp_path):
    for folder in ("Img/img_align_celeba", "Anno", "Eval"):
        (tmp_path / "celeba" / folder).mkdir(parents=True)
    root, lines = tmp_path / "celeba", ["5", " ".join(ATTRIBUTES)]
    for i in range(5):
        Image.new("RGB", (178, 218), (50 * i, 0, 0)).save(root / "Img" / "img_align_celeba" / f"{i:06}.png")
        lines.append(f"{i:06}.png " + " ".join(["-1"] * 39 + ["1" if i % 2 else "-1"]))
    (root / "Anno" / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (root / "Eval" / "list_eval_partition.txt").write_text("".join(f"{i:06}.png {max(0, i - 2)}\n" for i in range(5)))
    return root


def test_faces_have_forty_labels_of_one_flag_each(faces):
    found = data.celeba(str(faces), size=(16, 12))
    data.check(found)
    assert [len(found.split(name)) for name in ("train", "validation", "test")] == [3, 1, 1]
    example = found.split("train")[1]
    assert (example["image"].shape, example["image"].dtype) == ((1, 16, 12, 3), np.uint8)
    assert example["image"][0, 0, 0].tolist() == [50, 0, 0]
    labels = {key for key in example if key != "image" and not key.endswith("_valid")}
    assert labels == set(ATTRIBUTES)
    assert (example["Smiling"].tolist(), example["Has_3"].tolist(), example["Smiling_valid"].tolist()) == (
        [1],
        [0],
        [True],
    )


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("Anno/list_attr_celeba.txt", "1\nSmiling Young\n", "line 2: 2 names; expected 40"),
        ("Anno/list_attr_celeba.txt", f"1\n{' '.join(ATTRIBUTES)}\n000000.png 1 1\n", "line 3: expected an image and"),
        ("Anno/list_attr_celeba.txt", None, "has no list_attr_celeba.txt, nor has its folder 'Anno'"),
        ("Eval/list_eval_partition.txt", "000000.png 3\n", "line 1: '000000.png 3'; expected an image and 0, 1 or 2"),
        ("Eval/list_eval_partition.txt", "000000.png 0\n", "does not list 000001.png"),
        ("Img/img_align_celeba/000000.png", None, "is half copied: it lacks 000000.png"),
    ],
)
def test_what_is_wrong_with_faces_is_told(faces, file, text, message):
    (faces / file).unlink() if text is None else (faces / file).write_text(text)
    with pytest.raises(UserError, match=message):
        data.celeba(str(faces)).split("train")


@pytest.fixture
def things(tmp_path):
    root = tmp_path / "office31"
    for domain, inner in (("amazon", "images"), ("webcam", "")):
        for kind in ("bike", "mug"):
            (root / domain / inner / kind).mkdir(parents=True)
            for i in range(5):
                Image.new("RGB", (30, 20), (0, 40 * i, 0)).save(root / domain / inner / kind / f"{i}.jpg")
    return root


def test_a_domain_has_a_class_under_its_own_name_and_three_parts(things):
    found = data.office(str(things), "amazon", size=(8, 8))
    data.check(found)
    assert found.meanings == {"amazon": ("bike", "mug")}
    parts = {name: found.split(name) for name in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [6, 2, 2]
    files = [file for part in parts.values() for file, _ in part.items]
    assert len(set(files)) == 10
    example = parts["train"][0]
    assert example["image"].shape == (1, 8, 8, 3)
    assert (example["amazon"].dtype, example["amazon_valid"]) == (np.int32, True)


def test_domains_train_side_by_side_each_with_labels_of_its_own(things):
    sets = {domain: data.office(str(things), domain, size=(8, 8)) for domain in ("amazon", "webcam")}
    mixed = data.mix(sets, ratio={"amazon": 1, "webcam": 1}).split("train")
    known = [(bool(example["amazon_valid"]), bool(example["webcam_valid"])) for example in mixed]
    assert known.count((True, False)) == known.count((False, True)) == len(known) // 2


def test_lists_of_others_are_read(things):
    (things / "amazon_train.txt").write_text("amazon/images/mug/1.jpg 1\namazon/images/bike/4.jpg 0\n")
    found = data.office(str(things), "amazon", lists=str(things)).split("train")
    assert [int(found[i]["amazon"]) for i in range(2)] == [1, 0]
    (things / "amazon_val.txt").write_text("amazon/images/mug/9.jpg 1\n")
    with pytest.raises(UserError, match=r"amazon_val.txt', line 1: .*expected an image in .* and a class"):
        data.office(str(things), "amazon", lists=str(things)).split("validation")
    (things / "amazon" / "images" / ".ipynb_checkpoints").mkdir()  # no class, by which others would get other numbers
    (things / "amazon_test.txt").write_text("amazon/images/mug/1.jpg 1\n\namazon/images/bike/4.jpg 2\n")
    with pytest.raises(UserError, match=r"amazon_test.txt', line 3: class 2; there are folders of 2, from 0 on"):
        data.office(str(things), "amazon", lists=str(things)).split("test")
    with pytest.raises(UserError, match=r"domain of Office folder .*'amazon'"):
        data.office(str(things), "amazn").split("train")


def test_arrays_of_streets_are_canonical(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("image", "label_7", "depth"):
        (tmp_path / "streets" / "train" / part).mkdir(parents=True)
    labels = rng.integers(-1, 7, (8, 16)).astype(np.float64)
    labels[0, :2] = -1, 6
    depth = rng.random((8, 16, 1))
    depth[0] = 0
    for part, array in (("image", rng.random((8, 16, 3))), ("label_7", labels), ("depth", depth)):
        np.save(tmp_path / "streets" / "train" / part / "0.npy", array)
    example = data.cityscapes_arrays(str(tmp_path / "streets")).split("train")[0]
    np.testing.assert_array_equal(example["semantic_valid"][0, ..., 0], labels >= 0)
    np.testing.assert_array_equal(example["semantic"][0, ..., 0], np.maximum(labels, 0))
    np.testing.assert_allclose(example["depth"][0], depth, rtol=1e-6)
    assert not example["depth_valid"][0, 0].any()
    assert example["depth_valid"][0, 1:].all()
    np.save(tmp_path / "streets" / "train" / "label_7" / "0.npy", labels + 1)
    with pytest.raises(UserError, match=r"0.npy' holds 7; expected classes 0 .. 6"):
        data.cityscapes_arrays(str(tmp_path / "streets")).split("train")[0]
    with pytest.raises(UserError, match=r"cityscapes_arrays\(classes=8\): expected 7 or 19"):
        data.cityscapes_arrays(str(tmp_path), classes=8)
