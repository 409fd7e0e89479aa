"""Folders of jobs are read while other processes clear and fill them."""

import json
import subprocess
import sys

import pytest

from mtljax.report.files import load
from mtljax.report.reading.curves import read_curves
from mtljax.report.reading.folders import last_figures
from mtljax.studies.comparison.notes import jobs_there

JOBS = 5
# Runs that fail and are begun anew without end: what they leave comes and goes.
BUSY = """
import os, sys
folders = [f"{sys.argv[1]}/equal/seed-{i}" for i in range(int(sys.argv[2]))]
inner = [f"{folder}/checkpoints-{i}" for folder in folders for i in range(20)]
while True:
    for folder in folders:
        os.replace(f"{folder}/metrics.jsonl", f"{folder}/other")
        os.replace(f"{folder}/run.json", f"{folder}/kept")
    for folder in inner:
        os.mkdir(folder)
    for folder in folders:
        os.replace(f"{folder}/other", f"{folder}/metrics.jsonl")
        os.replace(f"{folder}/kept", f"{folder}/run.json")
    for folder in inner:
        os.rmdir(folder)
"""


@pytest.fixture
def busy(tmp_path):
    folders = [tmp_path / "equal" / f"seed-{i}" for i in range(JOBS)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "job.json").write_text('{"method": "equal()"}')
        (folder / "run.json").write_text('{"status": "running"}')
        (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "split": "train", "a/loss": 1.0}) + "\n")
    with subprocess.Popen([sys.executable, "-c", BUSY, tmp_path, str(JOBS)]) as process:
        yield folders
        assert process.poll() is None
        process.kill()


def test_what_goes_while_it_is_read_is_not_there(busy, tmp_path):
    curves, records = set(), set()
    for _ in range(200):
        assert [job["method"] for job in jobs_there(tmp_path)] == ["equal()"] * JOBS
        for folder in busy:
            curves.add(read_curves(folder).logged)
            records.add(load(folder / "run.json").get("status", ""))
            assert last_figures(folder) == {}
    assert (curves, records) == ({0, 1}, {"running", ""})


def test_jobs_are_found_at_every_depth_and_behind_links(tmp_path):
    wanted = ["a/depth/seed-0", "a/depth/share-0.5/seed-1", "a/seed-0", "linked/seed-0"]
    for folder in (*wanted[:-1], "other/seed-0", "seed-0", "a/seed-0/seed-3", "a/b/c/d/seed-4"):
        (tmp_path / "c" / folder).mkdir(parents=True)
        (tmp_path / "c" / folder / "job.json").write_text('{"method": "equal()"}')
    (tmp_path / "c" / "other").rename(tmp_path / "other")
    (tmp_path / "c" / "linked").symlink_to(tmp_path / "other")
    assert [job["folder"] for job in jobs_there(tmp_path / "c")] == wanted
