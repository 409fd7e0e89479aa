"""The notebooks of docs/notebooks, run cell by cell."""

import json
import pathlib
import re

import matplotlib
import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "docs" / "notebooks"


def run(name):
    """What the names of a notebook stand for after its cells have run in order."""
    matplotlib.use("agg")
    names = {}
    for number, cell in enumerate(json.loads((FOLDER / name).read_text())["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), names)
    matplotlib.pyplot.close("all")
    return names


@pytest.mark.slow
def test_swapped_balancers_all_learn_the_small_loss_better_than_equal_weights():
    curves = run("swap_balancers.ipynb")["curves"]
    price = {name: float(losses[-1, 0]) for name, (losses, _) in curves.items()}
    assert all(price[name] < price["equal"] for name in price if name != "equal"), price


@pytest.mark.slow
def test_a_folder_of_images_is_learned_and_new_pictures_are_answered():
    names = run("folder_of_images.ipynb")
    assert names["ours"]["kind/accuracy"] > names["constant"]["kind/accuracy"]
    assert "size: number; missing in 16 of 80 rows" in str(names["data"])
    assert [answer["kind"]["class"] for answer in names["answers"]] == ["apple", "plum"]


@pytest.mark.slow
def test_a_comparison_is_read():
    names = run("read_a_comparison.ipynb")
    assert names["failed"] == 0
    assert names["delta"]["equal()"].n == 3
    assert names["transfer"]["equal()"].keys() == {"near", "far"}
    assert (names["workdir"] / "comparison" / "report.html").exists()


@pytest.mark.parametrize("notebook", sorted(FOLDER.glob("*.ipynb")), ids=lambda file: file.stem)
def test_a_notebook_is_clean_and_its_links_lead_somewhere(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )
    for cell in cells:
        for target in re.findall(
            r"\]\((?!http)([^)#]+)\)", "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
        ):
            assert (notebook.parent / target).exists(), target
