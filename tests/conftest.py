"""Settings of the whole suite: eight simulated CPU devices, and where the real data is, if it is."""

import gc
import os
import pathlib

from tests import quick

os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} {quick.FLAGS}"
    " --xla_force_host_platform_device_count=8 --xla_llvm_disable_expensive_passes=true"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS"] = "0"  # which nobody reads, of programs that run for a moment

import jax
import pytest

from tests import cifar
from tests.frames import write_folder

gc.set_threshold(200_000, 20, 50)  # tracing makes many objects that stay; they are looked through less often
ROOT = pathlib.Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
# Rooms whose doctests compile; what they show is held by tests of `tests/`, so among others they are slow.
# `pytest mtljax/geometry` runs those of a folder.
COMPILING = tuple(str(ROOT / "mtljax" / room) for room in ("balance", "geometry", "models", "objects", "tasks"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.DoctestItem) and str(item.path).startswith(COMPILING):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared():
    """The folder of real data and golden numbers that stands beside a checkout; tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder `shared` beside the checkout (real data and golden numbers)")
    return SHARED


@pytest.fixture(scope="session")
def ten_frames(tmp_path_factory):
    """A folder of ten small RGB-D frames."""
    return write_folder(tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="session")
def cifar100_dir(tmp_path_factory):
    """A `data_dir` of TFDS with a CIFAR-100 of twenty made images."""
    return cifar.prepare(str(tmp_path_factory.mktemp("tfds")))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Where children of all tests, and of all workers, keep their compiled programs, and find those of others."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "compiled"


@pytest.fixture(autouse=True, scope="module")
def _programs_are_freed():
    """Compiled programs are freed before a worker has so many that the system maps no more memory for it.

    XLA's CPU backend maps some eight pieces of memory for a program; Linux allows a process 65,530, and then it crashes.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()
