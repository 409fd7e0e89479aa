"""The section of costs."""

import json

from mtljax.report.page import costs
from mtljax.report.page.blocks import Figures
from tests.report import made_folders as made
from tests.report.pages import part_of


def test_compiling_costs_what_the_seed_that_compiled_has_taken(tmp_path):
    """Later seeds of a method reuse its programs."""
    for seed, compiled in enumerate((40.0, 0.0, 2.0)):
        folder = tmp_path / "equal" / f"seed-{seed}"
        made.run(folder, "equal()", seed)
        told = json.loads((folder / "run.json").read_text())
        told["seconds"]["compile"] = compiled
        (folder / "run.json").write_text(json.dumps(told))
    _, page = part_of(tmp_path, costs.cost)
    table = page.table("Cost of training")
    assert table.column("compiling") == {"equal()": 40.0}


def test_a_long_name_of_what_ratios_are_to_leaves_room_for_them(tmp_path):
    name = "stch(log=False, preference={'segment': 0.25, 'depth': 0.75})"
    made.run(tmp_path / "stch" / "seed-0", name, 0)
    section, page = part_of(tmp_path, costs.cost)
    headings = [heading for heading in page.table("Cost of training").headings if heading.startswith("ratio to")]
    assert headings
    assert max(map(len, headings)) < len(name)
    assert f"Ratios to {name}" in page.sections["cost"]
    figures = [one for block in section.blocks if isinstance(block, Figures) for one in block.drawn]
    [drawn] = [one.svg for one in figures if one.name == "cost-step-median"]
    assert "ratio to stch" in drawn
    assert f"ratio to {name}" not in drawn
