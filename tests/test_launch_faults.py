"""`launch.py` where something is wrong: what it was given, its numbers, its disk, its data."""

import re
import subprocess

import pytest

from mtljax.train.config.default import checked
from mtljax.train.run import config_file
from mtljax.train.run.workdir import sole_use
from tests import runs, small_config
from tests.frames import slanted, write_folder
from tests.runs import CONFIG


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def frames(base):
    """Twenty frames of slanted planes: sixteen to train on, four held out."""
    return write_folder(base / "frames", 20, slanted)


@pytest.fixture(scope="module")
def finished(compiled, frames):
    def run(*arguments, status=0, config=f"{CONFIG}:{frames}", **kwargs):
        return runs.finish(runs.launch(compiled, *arguments, config=config, **kwargs), status)

    return run


# Arguments, another config file than the small one if any, and what is said.
MISUSES = [
    ([], None, "give --config, such as --config quickstart"),
    (["--config.stepps=4"], "", "unknown config key 'stepps'; did you mean 'steps'?"),
    (["--config.steps=many"], "", "steps"),
    (["--mode=evaluate"], "", "unknown mode 'evaluate'; did you mean 'eval'?"),
    (["--workdr=x"], "", "unknown flag '--workdr'; did you mean '--workdir'?"),
    (["steps=4"], "", "unexpected argument 'steps=4'"),
    (
        [],
        "configs/quickstrat.py",
        "unknown config file 'configs/quickstrat.py'; did you mean 'configs/quickstart.py'",
    ),
    (["--mode=eval", "--workdir=/nowhere/at/all"], None, "no config.json in '/nowhere/at/all'"),
    (["--config.balance=pcgard()"], "", "unknown balancer 'pcgard'; did you mean 'pcgrad'?"),
    (["--config.batch_size=6", "--simulate_devices=4"], "", "batch_size=6 cannot be divided over the 4 devices"),
    (["--config.data=rgbd('nowhere')"], "", "rgbd folder"),
    (["--config.tasks.dept="], "", "unknown key to drop of config.tasks: 'dept'; did you mean 'depth'?"),
    (["--config.tasks.depth=deph()"], "", "error: tasks.depth: unknown task 'deph'; did you mean 'depth'?"),
    ([], "tests/faulty_config.py:code", "the config's own code: invalid literal for int() with base 10: 'many' ("),
    (["--workdir=/proc/x"], "", "cannot write to workdir '/proc/x'"),
    (["--workdir=HELD"], "", "held' is in use by another run"),
    (["--images=a.png"], "", "--images goes with --mode=predict."),
]


@pytest.fixture(scope="module")
def misused(base, frames, compiled):
    """What was said to each misuse, by its place in the list; to another config in a workdir; and by `python -m mtljax`."""
    used = base / "used"
    config_file.write(checked(small_config.get_config(str(frames))), used)
    commands, held = [], base / "held"
    held.mkdir()
    for arguments, config, _ in MISUSES:
        arguments = [argument.replace("HELD", str(held)) for argument in arguments]
        given = f"{CONFIG}:{frames}" if config == "" else config
        has_workdir = any("workdir" in argument for argument in arguments) or config is None
        workdir = [] if has_workdir else [f"--workdir={base / 'misused'}"]
        commands.append(["launch.py", *([f"--config={given}"] if given else []), *arguments, *workdir])
    another = ["--config.seed=3", "--config.optimizers.depth=sgd(1.0)"]
    commands.append(["launch.py", f"--config={CONFIG}:{frames}", f"--workdir={used}", *another])
    commands.append(["mtljax", "--mode=eval", "--workdir=/nowhere/at/all"])
    before = (used / "config.json").read_bytes()
    with sole_use(held):
        told = runs.forked(compiled, base, commands)
    assert not (base / "misused").exists()
    assert (used / "config.json").read_bytes() == before
    assert {file.name for file in used.iterdir()} == {"config.json"}
    return told


@pytest.mark.parametrize("number", range(len(MISUSES)))
def test_misuse_gets_one_message_and_status_2(misused, number):
    status, _, err = misused[number]
    assert status == 2, err
    assert MISUSES[number][-1] in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2


def test_another_config_in_a_workdir_is_refused_with_the_keys(misused):
    status, _, err = misused[-2]
    assert status == 2, err
    assert "seed: 0 there, 3 now" in err
    assert "optimizers.depth: 'adam(1e-2)' there, 'sgd(1.0)' now" in err


def test_the_package_itself_is_the_same_program(misused):
    status, out, err = misused[-1]
    assert (status, out) == (2, "")
    assert err.startswith("mtljax: error: no config.json in '/nowhere/at/all'")


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_told_and_nothing_is_lost(base, finished):
    workdir = base / "full"
    finished(f"--workdir={workdir}", "--config.steps=10")
    metrics, before = (workdir / "metrics.jsonl").read_text(), runs.state(workdir, 10)
    no_large_files = ("sh", "-c", 'ulimit -f 40; exec "$@"', "sh")
    arguments = [f"--workdir={workdir}", "--allow_config_change", "--config.steps=30"]
    _, err = finished(*arguments, status=2, shell=no_large_files)
    # Orbax's own threads may complain before and after.
    assert re.search(rf"cannot write a checkpoint by step \d+ in {workdir}/checkpoints: .*Finished ones: \[10\]", err)
    assert (workdir / "metrics.jsonl").read_text().startswith(metrics)
    after = runs.state(workdir, 10)
    assert before.keys() == after.keys()
    assert all((value == after[key]).all() for key, value in before.items())


@pytest.mark.slow
def test_an_image_that_does_not_decode_is_named(base, frames, finished):
    broken = base / "broken"
    subprocess.run(["cp", "-r", frames, broken], check=True)
    file = broken / "frame-000003.color.png"
    file.write_bytes(file.read_bytes()[:50])
    _, err = finished(f"--workdir={base / 'undecoded'}", config=f"{CONFIG}:{broken}", status=2)
    assert "frame-000003.color.png' does not decode" in err
    assert "Traceback" not in err
