"""Settings of the whole suite: eight simulated CPU devices, and where the real data is, if it is."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

from tests import quick

os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} {quick.FLAGS}"
    " --xla_force_host_platform_device_count=8 --xla_llvm_disable_expensive_passes=true"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS"] = "0"  # which nobody reads, of programs that run for a moment
if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    # What takes long to compile is compiled once for all tests and workers, which are children of the process that begins.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="mtljax-tests-")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import pytest

from tests import cifar, forks
from tests.frames import write_folder

gc.set_threshold(200_000, 20, 50)  # tracing makes many objects that stay; they are looked through less often
ROOT = pathlib.Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
# Rooms whose doctests compile; what they show is held by tests of `tests/`, so among others they are slow.
# `pytest mtljax/geometry` runs those of a folder.
COMPILING = tuple(str(ROOT / "mtljax" / room) for room in ("balance", "geometry", "models", "objects", "tasks"))


# Files that take longest: several workers begin with them, so that none is left alone with one at the end.
LONG = tuple(
    f"tests/{file}.py"
    for file in (
        "test_hosts", "studies/comparison/test_workers", "test_soak", "test_launch", "test_launch_faults", "test_notebooks",
        "studies/test_cross_stitch", "models/heads/test_motion_heads", "tasks/values/test_learning",
        "train/step/test_self_supervised", "balance/methods/test_many_tasks", "balance/methods/test_golden",
        "balance/test_optax_wrappers", "studies/comparison/test_here", "train/run/test_frozen_networks", "studies/test_toy",
    )
)  # fmt: skip
# Files that use programs which a process compiles once, fork one process that has imported all, or ask one run: one worker
# runs each line.
TOGETHER = (
    ("tests/balance/methods/test_memory.py", "tests/balance/methods/test_properties.py"),
    ("tests/test_launch_faults.py", "tests/test_fitting.py"),
    tuple(
        f"tests/serving/test_{name}.py" for name in ("answers", "commands", "export", "inline", "loaded", "serve_page")
    ),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.DoctestItem) and str(item.path).startswith(COMPILING):
            item.add_marker(pytest.mark.slow)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """As `--dist=loadfile`, which is asked for, but in the order of the items and with files that belong together."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((files[0] for files in TOGETHER if file in files), file)

    config.option.loadscopereorder = False
    return Together(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    if report.failed:
        forks.kill_left()
    return report


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
