"""Workdirs of runs to ask; not to be changed."""

import numpy as np
import pytest
from PIL import Image

import mtljax as mtl
from tests.serving import sets


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return sets.leave(sets.config(), tmp_path_factory.mktemp("serving") / "run")


@pytest.fixture(scope="session")
def run(workdir):
    return mtl.load(workdir)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Three pictures of other sizes than the run's, one of which is no picture and one lies on its side."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    for name, size in (("a.png", (40, 50, 3)), ("b.jpg", (16, 24, 3))):
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(folder / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(folder / "c.jpg", exif=turned)
    (folder / "notes.txt").write_text("none")
    return folder
