"""`launch.py` where something is wrong: what it was given, its numbers, its disk, its data."""

import re
import subprocess

import pytest

from mtljax import cli
from mtljax.train.config.default import checked
from mtljax.train.run import config_file, loop
from mtljax.train.run.workdir import sole_use
from tests import in_process, runs, small_config
from tests.frames import slanted, write_folder
from tests.runs import CONFIG, WAIT


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


# Arguments, another config file than the small one if any, and what is said: by the program itself, as it is started.
MISUSES = [
    ([], None, "give --config, such as --config quickstart"),
    (["--workdr=x"], "", "unknown flag '--workdr'; did you mean '--workdir'?"),
    (["--config.batch_size=6", "--simulate_devices=4"], "", "batch_size=6 cannot be divided over the 4 devices"),
]
# The same, told in this process; see tests/misuses.py for more.
OTHERS = [
    (["steps=4"], "", "unexpected argument 'steps=4'"),
    (
        [],
        "configs/quickstrat.py",
        "unknown config file 'configs/quickstrat.py'; did you mean 'configs/quickstart.py'",
    ),
    (["--mode=eval", "--workdir=/nowhere/at/all"], None, "no config.json in '/nowhere/at/all'"),
    (["--config.data=rgbd('nowhere')"], "", "rgbd folder"),
    (["--config.tasks.dept="], "", "unknown key to drop of config.tasks: 'dept'; did you mean 'depth'?"),
    (["--config.tasks.depth=deph()"], "", "error: tasks.depth: unknown task 'deph'; did you mean 'depth'?"),
    ([], "tests/faulty_config.py:code", "the config's own code: invalid literal for int() with base 10: 'many' ("),
    (["--workdir=/proc/x"], "", "cannot write to workdir '/proc/x'"),
    (["--workdir={held}"], "", "held' is in use by another run"),
]


def command(frames, arguments, config, workdir):
    """The words of a command line; a workdir stands in it where the arguments name none."""
    given = f"{CONFIG}:{frames}" if config == "" else config
    named = any("workdir" in argument for argument in arguments) or config is None
    return [*([f"--config={given}"] if given else []), *arguments, *([] if named else [f"--workdir={workdir}"])]


@pytest.fixture(scope="module")
def misused(base, frames, compiled):
    """What was said to each misuse, by its place in the list; and by `python -m mtljax`."""
    commands = [["launch.py", *command(frames, *given, base / "misused")] for *given, _ in MISUSES]
    commands.append(["mtljax", "--mode=eval", "--workdir=/nowhere/at/all"])
    started = [runs.forked(compiled, command) for command in commands]
    told = [(process.wait(WAIT), *process.communicate()) for process in started]
    assert not (base / "misused").exists()
    return told


@pytest.fixture
def said(frames, tmp_path, monkeypatch, capsys):
    """Runs a command line in this process up to where a run begins: its exit status, and what it said."""
    monkeypatch.setattr(cli, "_begin", lambda: None)  # signals and devices are those of the tests
    monkeypatch.setattr(loop, "start", lambda *_: (None, ""))  # initial parameters take a while, and are right

    def of(arguments, config=""):
        status = in_process.command(*command(frames, arguments, config, tmp_path / "other"))
        assert not (tmp_path / "other").exists()
        return status, capsys.readouterr().err

    return of


def assert_one_message(status, err, message):
    assert status == 2, err
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2


@pytest.mark.parametrize("number", range(len(MISUSES)))
def test_misuse_gets_one_message_and_status_2(misused, number):
    status, _, err = misused[number]
    assert_one_message(status, err, MISUSES[number][-1])


@pytest.mark.parametrize(("arguments", "config", "message"), OTHERS, ids=[message for *_, message in OTHERS])
def test_so_does_misuse_of_other_kinds(said, tmp_path, arguments, config, message):
    held = tmp_path / "held"
    held.mkdir()
    with sole_use(held):
        status, err = said([argument.format(held=held) for argument in arguments], config)
    assert_one_message(status, err, message)


def test_another_config_in_a_workdir_is_refused_with_the_keys(said, frames, tmp_path):
    used = tmp_path / "used"
    config_file.write(checked(small_config.get_config(str(frames))), used)
    before = (used / "config.json").read_bytes()
    status, err = said([f"--workdir={used}", "--config.seed=3", "--config.optimizers.depth=sgd(1.0)"])
    assert status == 2, err
    assert (used / "config.json").read_bytes() == before
    assert {file.name for file in used.iterdir()} == {"config.json"}
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
