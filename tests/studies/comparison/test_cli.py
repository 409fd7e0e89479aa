"""What `launch.py` says of flags of comparisons, studies of relations and reports that cannot be."""

import json

import pytest

from mtljax import cli
from tests import in_process
from tests.studies.comparison.digits_config import write_digits

CONFIG = "tests/studies/comparison/digits_config.py"
COMPARE = ["--mode=compare", "--methods=equal();geometric_mean()"]
RELATE = ["--mode=relate", "--relations=covariance()"]
# Arguments, and what is said; all but those that name one are on a new workdir.
MISUSES = [
    (["--mode=compare"], "--mode=compare and --methods go together"),
    (["--methods=equal()"], "--methods goes with --mode=compare or --mode=report"),
    (["--jobs=2"], "--jobs goes with --mode=compare"),
    (["--retry_failed"], "--retry_failed goes with --mode=compare"),
    ([*COMPARE, "--workdirs=a;b"], "--workdirs goes with --mode=report"),
    ([*COMPARE, "--jobs=-1"], "jobs"),
    ([*COMPARE, "--jobs=2", "--coordinator=a:1"], "it goes without --coordinator"),
    (["--mode=compare", "--methods=equal();equal()"], "--methods names 'equal()' twice"),
    ([*COMPARE, "--job=17/16"], "--job=17/16: expected i/n, with i from 1 to n"),
    ([*COMPARE, "--shares=0.5;1.5"], "'1.5' is no share of the training examples"),
    ([*COMPARE, "--baseline=single"], "unknown method as --baseline: 'single'"),
    (
        [*COMPARE, "--metrics=left/acuracy"],
        "unknown metric in --metrics: 'left/acuracy'; did you mean 'left/accuracy'?",
    ),
    ([*COMPARE, "--vary=balanse"], "unknown config key to vary (--vary): 'balanse'; did you mean 'balance'?"),
    ([*COMPARE, "--jobs=3", "--simulate_devices=2"], "takes 3; expected at most the 2 there are"),
    ([*COMPARE, "--workdir={run}"], "holds a training run; choose another --workdir for a comparison"),
    (["--workdir={comparison}"], "holds a comparison: go on by --mode=compare"),
    (["--relations=networks()"], "--relations goes with --mode=relate: --mode=relate --relations="),
    (["--mode=relate"], "--relations is empty; expected measures with ; between them"),
    ([*RELATE, "--budgets=1;x"], "--budgets: 'x'; expected a number above 0"),
    ([*RELATE, "--importance=lft=2"], "unknown task with an importance (--importance): 'lft'; did you mean 'left'?"),
    ([*RELATE, "--workdir={run}"], "holds a training run; choose another --workdir"),
    (["--mode=report"], "holds neither a run nor a comparison"),
    (["--mode=report", "--workdir={study}"], "holds a study of relations, whose page is relations.md"),
    (["--mode=report", "--workdirs=nowhere"], "'nowhere' holds neither a run nor a comparison"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Digits, what misuses go to by name, and a place for what none may write."""
    base = tmp_path_factory.mktemp("misused")
    write_digits(base / "mnist")
    (base / "run/checkpoints").mkdir(parents=True)
    (base / "comparison/equal/seed-0").mkdir(parents=True)
    (base / "comparison/equal/seed-0/job.json").write_text(json.dumps({"method": "equal()", "outcome": "done"}))
    (base / "study").mkdir()
    (base / "study/relations.json").write_text("{}")
    return {name: base / name for name in ("mnist", "run", "comparison", "study", "new")}


@pytest.mark.parametrize(("arguments", "message"), MISUSES, ids=[message for _, message in MISUSES])
def test_misuse_gets_one_message_and_status_2(folders, arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_begin", lambda: None)  # signals and devices are those of the tests
    given = [argument.format(**folders) for argument in arguments]
    workdir = [] if "--workdir" in str(given).replace("--workdirs", "") else [f"--workdir={folders['new']}"]
    status = in_process.command(f"--config={CONFIG}:{folders['mnist']}", *given, *workdir)
    out, err = capsys.readouterr()
    assert status == 2, out + err
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2
    assert not folders["new"].exists()
