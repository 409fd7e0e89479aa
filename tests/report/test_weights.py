"""The balancer's weights on the page of a comparison."""

import json

from mtljax.report.page import progress
from tests.report import made_folders as made
from tests.report.pages import part_of


def test_weights_that_are_no_numbers_are_told(tmp_path):
    """They were left out, so that they seemed never to change."""
    made.comparison(tmp_path, methods=("equal()", "famo()"))
    for folder in (tmp_path / "equal0" / "seed-1", tmp_path / "famo1" / "seed-0"):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        late = {"balance/weight/depth": None}
        lines = [line | late if line["step"] >= 50 and line["split"] == "train" else line for line in lines]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, page = part_of(tmp_path, progress.balancer)
    assert "equal() (depth 1, normals 1, segment 1; no numbers in a run at step 50)" in page.sections["balancer"]
