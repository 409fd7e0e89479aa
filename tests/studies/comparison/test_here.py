"""A comparison in this process: what it trains and leaves, how it goes on, what failed, what is added later."""

import json
import pathlib
import re

import pytest

from configs import toy
from mtljax import studies
from mtljax.errors import UserError
from mtljax.studies.comparison import gather, notes
from mtljax.train.run import loop
from mtljax.train.run.workdir import sole_use
from tests.studies.comparison.digits_config import get_config, write_digits

METHODS = "single; geometric_mean()"
DIVERGES = "sgd(1e30)"
FIGURES = {f"{task}/{figure}" for task in ("left", "right") for figure in ("loss", "accuracy")}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits") / "mnist")


def config(digits, **changes):
    made = get_config(digits)
    made.parallel = "mesh(data=1)"
    made.update(changes)
    return made


def note(base, folder):
    return json.loads((base / folder / notes.JOB_FILE).read_text())


def results(base):
    """Method -> seed -> figures of what is done, from the folders of the runs."""
    found = {}
    for job in notes.jobs_there(base):
        if job["outcome"] == "done":
            figures = notes.read_json(base / job["folder"] / "run.json")["figures"]
            found.setdefault(job["method"], {}).setdefault(str(job["seed"]), {}).update(figures)
    return found


@pytest.fixture(scope="module")
def compared(digits, tmp_path_factory):
    """A comparison that was stopped before its third run, and went on."""
    base = tmp_path_factory.mktemp("compared") / "c"
    trained, gathered, train, write = [], [], loop.train, gather.write

    def stopping(config, workdir, **kwargs):
        trained.append((workdir.relative_to(base).as_posix(), config.balance, config.seed, tuple(config.tasks)))
        if len(trained) == 3:
            raise loop.Stopped(0)
        return train(config, workdir, **kwargs)

    def gathering(workdir, **kwargs):  # whose figures take long to draw: they are drawn at the end
        gathered.append(len(trained))
        return write(workdir, **kwargs) if len(trained) == 7 else ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "write", gathering)
        patch.setattr(loop, "train", stopping)
        with pytest.raises(loop.Stopped):
            studies.compare(config(digits), base, METHODS, seeds=2)
        stopped = note(base, trained[2][0])
        assert studies.compare(config(digits), base, METHODS, seeds=2) == 0
    assert gathered == [1, 2, 3, 4, 5, 6, 7, 7], "after each run, where it was stopped, and at the end"
    return base, trained, stopped


def test_every_method_and_seed_is_trained_once_seeds_of_a_method_together(compared):
    _, trained, stopped = compared
    assert trained[2] == trained[3]
    assert (stopped["outcome"], stopped["attempts"]) == ("stopped", 1)
    assert trained[:2] + trained[3:] == [
        ("single/left/seed-0", "equal()", 0, ("left",)),
        ("single/left/seed-1", "equal()", 1, ("left",)),
        ("single/right/seed-0", "equal()", 0, ("right",)),
        ("single/right/seed-1", "equal()", 1, ("right",)),
        ("geometric_mean/seed-0", "geometric_mean()", 0, ("left", "right")),
        ("geometric_mean/seed-1", "geometric_mean()", 1, ("left", "right")),
    ]


def test_figures_are_those_of_the_runs(compared):
    base, trained, _ = compared
    found = results(base)
    assert all(run.keys() >= FIGURES for runs in found.values() for run in runs.values())
    for folder, method, seed, tasks in trained:
        lines = [json.loads(line) for line in (base / folder / "metrics.jsonl").read_text().splitlines()]
        [validation] = [line for line in lines if line["split"] == "validation"]
        name = "single" if folder.startswith("single") else method
        for task in tasks:
            assert found[name][str(seed)][f"{task}/loss"] == validation[f"{task}/loss"]
    assert found["geometric_mean()"]["0"]["left/loss"] != found["geometric_mean()"]["1"]["left/loss"]
    assert "geometric_mean()" in (base / "compare.md").read_text()


@pytest.mark.slow
def test_a_run_of_the_comparison_is_the_run_that_train_makes(compared, digits, tmp_path):
    base, _, _ = compared
    figures = loop.train(config(digits, balance="geometric_mean()", seed=1), tmp_path / "alone")
    assert results(base)["geometric_mean()"]["1"] == figures


@pytest.fixture(scope="module")
def added(compared, digits):
    """A method that cannot be trained, and then a method and a seed, added to what is there; what was trained."""
    base, _, _ = compared
    trained, train = [], loop.train

    def noting(config, workdir, **kwargs):
        trained.append(workdir.relative_to(base).as_posix())
        return train(config, workdir, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", noting)
        # Which finds the program of what was trained last.
        assert studies.compare(config(digits, seed=5), base, "geometric_mean()", seeds=1) == 0
        assert studies.compare(config(digits), base, "geometric_mean();equal()", seeds=1) == 0
    return base, trained


@pytest.mark.slow
def test_what_is_named_later_is_added_and_nothing_is_trained_again(added):
    base, trained = added
    assert trained == ["geometric_mean/seed-5", "equal/seed-0"]
    found = results(base)
    assert {method: sorted(runs) for method, runs in found.items()} == {
        "single": ["0", "1"],
        "geometric_mean()": ["0", "1", "5"],
        "equal()": ["0"],
    }


def test_a_study_of_relations_is_no_comparison(digits, tmp_path):
    (tmp_path / "halves.json").write_text("{}")
    with pytest.raises(UserError, match="holds a study of relations: go on by --mode=relate"):
        studies.compare(config(digits), tmp_path, METHODS, seeds=1)


def test_another_config_in_the_workdir_is_refused(compared, digits):
    with pytest.raises(UserError, match="steps: 3 there, 4 now"):
        studies.compare(config(digits, steps=4), compared[0], METHODS, seeds=2)


@pytest.mark.slow
def test_a_baseline_may_be_there_or_named(added, digits):
    base, _ = added
    assert studies.compare(config(digits), base, "equal()", seeds=1, baseline="geometric_mean()") == 0
    with pytest.raises(
        UserError, match=r"unknown method as --baseline: 'geometric_meen\(\)'; did you mean 'geometric_mean\(\)'"
    ):
        studies.compare(config(digits), base, "equal()", seeds=1, baseline="geometric_meen()")


@pytest.mark.slow
def test_parts_are_trained_apart_and_told_together(digits, tmp_path, capsys):
    methods = ("geometric_mean()", "equal()")
    for part, method in zip(("1/2", "2/2"), methods, strict=True):
        assert studies.compare(config(digits), tmp_path / "c", ";".join(methods), seeds=2, part=part) == 0
        trained = re.findall(r"^(.*): done", capsys.readouterr().out, re.M)
        assert trained == [f"{method}, seed {seed}" for seed in (0, 1)]
    assert (tmp_path / "c/compare.json").read_text().count("left/loss") == 4


@pytest.fixture(scope="module")
def diverged(digits, tmp_path_factory):
    """A comparison of which one method diverges, tried twice; what was returned."""
    base = tmp_path_factory.mktemp("diverged") / "c"
    made = config(digits, max_skipped_in_row=2, steps=6)
    found = [studies.compare(made, base, f"{DIVERGES};sgd(1e-2)", seeds=1, vary="optimizers.shared")]
    first = note(base, "sgd-1e30/seed-0"), results(base)
    found.append(studies.compare(made, base, f"{DIVERGES};sgd(1e-2)", seeds=1))  # the key that varies is known there
    found.append(studies.compare(made, base, DIVERGES, seeds=1, retry_failed=True))
    return base, first, found


@pytest.mark.slow
def test_a_run_that_diverges_is_noted_and_the_others_go_on(diverged):
    base, (failed, found), returned = diverged
    assert returned == [1, 1, 1]
    assert (failed["outcome"], failed["attempts"]) == ("failed", 1)
    assert "2 updates in a row were not finite (max_skipped_in_row)" in failed["message"]
    assert "\n" not in failed["message"]
    assert list(found) == ["sgd(1e-2)"]
    assert note(base, "sgd-1e-2/seed-0")["outcome"] == "done"


@pytest.mark.slow
def test_it_is_tried_anew_where_that_is_asked_for(diverged):
    base, _, _ = diverged
    again = note(base, "sgd-1e30/seed-0")
    assert (again["outcome"], again["attempts"]) == ("failed", 2)
    lines = [json.loads(line) for line in (base / "sgd-1e30/seed-0/metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == list(range(1, len(steps) + 1))  # of the second try alone


def test_an_error_of_any_kind_is_an_outcome(digits, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise MemoryError("RESOURCE_EXHAUSTED: out of memory\nallocating 7 bytes")

    monkeypatch.setattr(loop, "train", full)
    assert studies.compare(config(digits), tmp_path / "c", "geometric_mean();equal()", seeds=1) == 2
    for folder in ("geometric_mean/seed-0", "equal/seed-0"):
        found = note(tmp_path / "c", folder)
        assert found["message"] == "MemoryError: RESOURCE_EXHAUSTED: out of memory allocating 7 bytes"
    out, err = capsys.readouterr()
    assert "2 of 2 runs failed; --retry_failed tries them again." in out
    assert "Traceback" in err


def test_runs_of_an_earlier_version_are_read_and_not_trained_again(digits, tmp_path, monkeypatch):
    earlier = {method: {"0": dict.fromkeys(FIGURES, 0.25)} for method in ("single", "geometric_mean()", "dropped()")}
    base = tmp_path / "c"
    base.mkdir()
    (base / "compare.json").write_text(json.dumps(earlier))
    monkeypatch.setattr(loop, "train", lambda *_, **__: pytest.fail("trained again"))
    for _ in range(2):
        assert studies.compare(config(digits), base, METHODS, seeds=1) == 0
        assert results(base) == earlier
    assert all(method in (base / "compare.json").read_text() for method in earlier)
    record = json.loads((base / "single/left/seed-0/run.json").read_text())
    assert record["figures"] == {"left/loss": 0.25, "left/accuracy": 0.25}
    assert record["tasks"] == {"left": {"primary": "accuracy", "metrics": {"accuracy": True}}}


@pytest.mark.parametrize(
    ("methods", "options", "message"),
    [
        ("equal();pcgrat()", {}, "unknown balancer 'pcgrat'; did you mean 'pcgrad'"),
        ("equal();cagrad(c=-1)", {}, "c=-1"),
        ("equal();equal()", {}, "twice"),
        ("equal()", {"baseline": "single"}, "unknown method as --baseline: 'single'"),
        (
            "equal()",
            {"metrics": ["left/acuracy"]},
            "unknown metric in --metrics: 'left/acuracy'; did you mean 'left/acc",
        ),
        ("equal()", {"part": "17/16"}, "--job=17/16: expected i/n"),
        ("equal()", {"shares": "2"}, "'2' is no share"),
        ("4;12", {"vary": "batch_size"}, "batch"),
        ("equal();per_group({'nowhere.*': pcgrad()})", {}, "config.balance of model .* matches no parameter"),
    ],
)
def test_misuse_is_told_before_anything_is_trained(digits, tmp_path, methods, options, message):
    with pytest.raises(UserError, match=message):
        studies.compare(config(digits, parallel="mesh(data=-1)"), tmp_path / "c", methods, seeds=1, **options)
    assert not (tmp_path / "c").exists()


def test_all_methods_that_the_measure_cannot_serve_are_told_at_once(digits, tmp_path):
    made = config(digits, measure="features")
    with pytest.raises(UserError) as error:
        studies.compare(made, tmp_path / "c", "sdmgrad();equal();moco();geometric_mean()", seeds=2)
    lines = str(error.value).splitlines()
    assert lines[0] == "of --methods, these cannot be trained:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["sdmgrad()", "moco()"]
    assert all("measure" in line for line in lines[1:])
    assert not (tmp_path / "c").exists()


def test_folders_of_runs_and_of_comparisons_are_not_taken_for_each_other(compared, digits):
    base, _, _ = compared
    with pytest.raises(UserError, match="geometric_mean/seed-0' holds a training run"):
        studies.compare(config(digits), base / "geometric_mean/seed-0", "equal()", seeds=1)


def test_where_others_hold_all_that_is_left_there_is_nothing_to_do(digits, tmp_path):
    with sole_use(tmp_path / "c/equal/seed-0", notes.JOB_LOCK):
        with pytest.raises(UserError, match="nothing is left to train but what others hold") as error:
            studies.compare(config(digits), tmp_path / "c", "equal()", seeds=1)
        assert "equal(), seed 0: workdir" in str(error.value)
    with sole_use(tmp_path / "c/equal/seed-0"):  # by a training run, which knows of no jobs
        with pytest.raises(UserError, match="nothing is left to train but what others hold"):
            studies.compare(config(digits), tmp_path / "c", "equal()", seeds=1)
        assert note(tmp_path / "c", "equal/seed-0")["outcome"] == ""


def test_a_folder_that_cannot_be_written_is_told(digits):
    with pytest.raises(UserError, match="cannot write to workdir '/proc/c"):
        studies.compare(config(digits), pathlib.Path("/proc/c"), "equal()", seeds=1)


def test_a_study_holds_its_workdir_alone(tmp_path):
    with sole_use(tmp_path), pytest.raises(UserError, match="in use by another run"):
        studies.run(toy.get_config(), tmp_path)
