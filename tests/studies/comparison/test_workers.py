"""A comparison by `launch.py`: child processes that diverge, are killed, are stopped; and what is added later."""

import functools
import os
import pathlib
import re
import signal
import time

import pytest

from mtljax.studies.comparison import notes
from tests import runs
from tests.runs import WAIT
from tests.studies.comparison.digits_config import write_digits
from tests.studies.comparison.kills import Comparisons, killed

CONFIG = "tests/studies/comparison/digits_config.py"
VARY = "--vary=steps,optimizers.shared"
DIVERGES, ENDLESS, DONE = "6|sgd(1e30)", "1000000|adam(1e-2)", "6|adam(1e-2)"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def compare(base, compiled):
    """Starts a comparison in the folder `name`."""
    digits, started = write_digits(base / "mnist"), []

    def start(name, methods, *arguments, seeds=1, config=f"{CONFIG}:{digits}", fresh=False):
        often = ["--config.max_skipped_in_row=2"] if config else []
        given = [f"--workdir={base / name}", "--mode=compare", f"--methods={methods}", f"--seeds={seeds}"]
        started.append(runs.launch(compiled, *given, *often, *arguments, config=config, fresh=fresh))
        return started[-1]

    yield start
    for process in started:
        process.kill()  # what a test has left when it failed


def note(folder):
    return notes.read_json(folder / notes.JOB_FILE)


def wait_for(process, what):
    begin = time.monotonic()
    while not (found := what()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begin < WAIT
        time.sleep(0.02)
    return found


def trainer(folder):
    """The process that trains in a folder, once it has told of a step."""
    found = notes.read_json(folder / ".lock").get("pid")
    return found if notes.last_step(folder) else None


def is_gone(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.fixture(scope="module")
def compared(base, compare):
    """Three methods on two workers: one diverges, one is killed. The folder, and what was printed."""
    process = compare("c", ";".join((DONE, DIVERGES, ENDLESS)), VARY, "--jobs=2", fresh=True)
    endless = base / "c/steps=1000000-adam-1e-2/seed-0"
    os.kill(wait_for(process, functools.partial(trainer, endless)), signal.SIGKILL)
    return base / "c", *runs.finish(process, status=1)


@pytest.mark.slow
def test_what_fails_is_noted_and_the_others_go_on(compared):
    folder, out, _ = compared
    found = {job["method"]: (job["outcome"], job["attempts"]) for job in notes.jobs_there(folder)}
    assert found == {DONE: ("done", 1), DIVERGES: ("failed", 1), ENDLESS: ("killed", 1)}
    messages = {job["method"]: job["message"] for job in notes.jobs_there(folder)}
    assert "2 updates in a row were not finite (max_skipped_in_row)" in messages[DIVERGES]
    assert re.fullmatch(r"killed by SIGKILL at step [1-9]\d*", messages[ENDLESS])
    assert "2 of 3 runs failed; --retry_failed tries them again." in out
    for method, message in messages.items():
        status = "done" if method == DONE else f"{found[method][0].upper()}, step "
        assert re.search(rf"^{re.escape(method)}, seed 0: {status}.*\([\d.]+ s\)$", out, re.M), out
        assert message in out
    assert "adam(1e-2)" in (folder / "compare.md").read_text()


@pytest.mark.slow
def test_each_run_prints_into_its_log(compared):
    folder, out, _ = compared
    log = (folder / "steps=6-adam-1e-2/seed-0/log.txt").read_text()
    assert "6|adam(1e-2), seed 0" in log.splitlines()[0]
    assert "accuracy (up)" in log
    assert "optimizer" not in out
    assert "error: 2 updates in a row" in (folder / "steps=6-sgd-1e30/seed-0/log.txt").read_text()


@pytest.fixture(scope="module")
def added(compared, compare):
    """A method added later, from the workdir alone; what was trained."""
    folder, _, _ = compared
    before = {
        job["folder"]: (folder / job["folder"] / "metrics.jsonl").read_bytes() for job in notes.jobs_there(folder)
    }
    out, _ = runs.finish(compare("c", f"7|adam(1e-2);{DONE}", config=None))
    return folder, before, out


@pytest.mark.slow
def test_a_later_method_is_added_and_nothing_is_trained_again(added):
    folder, before, out = added
    assert re.findall(r"^(.*), seed \d: done", out, re.M) == ["7|adam(1e-2)"]
    assert all((folder / name / "metrics.jsonl").read_bytes() == content for name, content in before.items())
    assert {method for method in (DONE, "7|adam(1e-2)") if method in (folder / "compare.json").read_text()} == {
        DONE,
        "7|adam(1e-2)",
    }


@pytest.fixture(scope="module")
def stopped(added, compare):
    """SIGTERM to the parent, of which one child goes on with what was killed; children, and what was printed."""
    folder, _, _ = added
    process = compare("c", ENDLESS, "--retry_failed", "--jobs=2", seeds=2, config=None)
    folders = [folder / f"steps=1000000-adam-1e-2/seed-{seed}" for seed in (0, 1)]
    children = [wait_for(process, functools.partial(trainer, one)) for one in folders]
    process.send_signal(signal.SIGTERM)
    return folders, children, *runs.finish(process)


@pytest.mark.slow
def test_sigterm_stops_and_saves_every_child(stopped):
    folders, children, out, _ = stopped
    assert all(map(is_gone, children))
    assert [note(folder)["outcome"] for folder in folders] == ["stopped", "stopped"]
    assert [note(folder)["attempts"] for folder in folders] == [2, 1]
    for folder in folders:
        [step] = re.findall(r"SIGTERM: saved step (\d+)", (folder / "log.txt").read_text())
        assert (folder / "checkpoints" / step).is_dir()
    assert out.count("STOPPED, step ") == 2
    assert "the same command goes on" in out


@pytest.mark.slow
def test_a_second_signal_is_not_waited_for_and_no_child_is_left(base, compare):
    process = compare("second", ENDLESS, VARY)
    child = wait_for(process, functools.partial(trainer, base / "second/steps=1000000-adam-1e-2/seed-0"))
    os.kill(child, signal.SIGSTOP)  # it cannot save
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(WAIT)
    os.kill(child, signal.SIGCONT)
    assert process.returncode == 130
    process.communicate()
    wait_until_gone(child)


def wait_until_gone(*children):
    begin = time.monotonic()
    while not all(map(is_gone, children)):
        assert time.monotonic() - begin < 30
        time.sleep(0.05)


@pytest.mark.slow
def test_no_child_outlives_a_parent_that_is_killed_and_its_job_just_goes_on(base, compare):
    process = compare("orphans", ENDLESS, VARY)
    folder = base / "orphans/steps=1000000-adam-1e-2/seed-0"
    child = wait_for(process, functools.partial(trainer, folder))
    process.kill()
    process.communicate()
    wait_until_gone(child)
    assert note(folder)["outcome"] == ""
    process = compare("orphans", ENDLESS)
    wait_for(process, lambda: trainer(folder) not in (None, child))
    process.send_signal(signal.SIGTERM)
    runs.finish(process)
    assert note(folder)["attempts"] == 1


@pytest.mark.slow
def test_two_commands_at_once_share_the_work_and_never_a_run(base, compare):
    pair = [compare("two", f"{DONE};8|adam(1e-2)", VARY, seeds=2) for _ in range(2)]
    outs = [runs.finish(process)[0] for process in pair]
    found = notes.jobs_there(base / "two")
    assert [job["outcome"] for job in found] == ["done"] * 4
    for job in found:
        assert len(re.findall(r", seed \d", (base / "two" / job["folder"] / "log.txt").read_text())) == 1
    shares = [re.findall(r"^(.*, seed \d): done", out, re.M) for out in outs]
    assert len({*shares[0], *shares[1]}) == len(shares[0]) + len(shares[1]) == 4
    assert (base / "two/compare.json").read_text().count("left/loss") == 4


@pytest.mark.slow
def test_a_comparison_that_is_killed_with_its_workers_ends_as_one_left_alone(tmp_path, compiled):
    """At one moment of many: `python -m tests.studies.comparison.kills` tries more."""
    ended, unlike = killed(Comparisons(tmp_path, ("equal()",), steps=24, compiled=compiled), kills=1, seed=7)
    assert ended >= 1
    assert unlike == 0
