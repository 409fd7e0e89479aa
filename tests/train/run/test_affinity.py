"""Affinities of a run: every so many steps in its figures, their mean in its workdir, the same after a stop."""

import json
import shutil

import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.config.programs import Programs
from mtljax.train.run import loop
from mtljax.train.run.affinity import AFFINITY_FILE, Means, let_go, read
from tests.runs import lines, state
from tests.train.conftest import changed

PAIRS = [f"{i}/{j}" for i in ("left", "right") for j in ("left", "right")]
KINDS = ("affinity", "affinity_first")


@pytest.fixture(scope="module")
def config(digits):
    return changed(digits, steps=6, log_every=3, checkpoint_every=3, parallel="mesh(data=1)", affinity_step=1e-4)


@pytest.fixture(scope="module")
def looked(config, tmp_path_factory):
    """Runs of 6 steps: looking at every second, and without looking; and the programs of the first."""
    folders = [tmp_path_factory.mktemp("affinity") / name for name in ("looking", "not")]
    programs = Programs()
    loop.train(changed(config, affinity_every=2), folders[0], programs=programs)
    loop.train(config, folders[1])
    return *folders, programs


def told(folder):
    return {line["step"]: line for line in lines(folder, "train")}


def table(line, kind):
    return np.array([line[f"{kind}/{pair}"] for pair in PAIRS]).reshape(2, 2)


def test_every_so_many_steps_they_are_written_and_nothing_else_changes(looked):
    looking, plain = told(looked[0]), told(looked[1])
    names = {f"{kind}/{pair}" for kind in KINDS for pair in PAIRS}
    assert [step for step, line in looking.items() if names <= set(line)] == [2, 4, 6]
    assert set(looking[2]) == {"step", "split", "time"} | names
    assert all(not names & set(line) for line in plain.values())
    for step in (3, 6):
        for key, value in plain[step].items():
            assert key in ("time", "input/wait_share") or looking[step][key] == value
    found, expected = (state(folder, 6) for folder in looked[:2])
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
    assert not (looked[1] / AFFINITY_FILE).exists()


def test_their_mean_is_told_and_groups_the_tasks(looked):
    found, figures = read(looked[0]), told(looked[0])
    assert (found.tasks, found.h, found.every, found.step) == (("left", "right"), 1e-4, 2, 6)
    for kind, mean, count in zip(KINDS, (found.mean, found.first), (found.count, found.first_count), strict=True):
        np.testing.assert_allclose(mean, np.mean([table(figures[step], kind) for step in (2, 4, 6)], axis=0))
        assert (count == 3).all()
    assert np.max(np.abs(found.mean - found.first)) < 0.1 * np.max(np.abs(found.mean)) > 0
    chosen = mtl.relations.group(found.mean, found.tasks, most=1)
    assert chosen.scores == {"left": found.mean[1, 0], "right": found.mean[0, 1]}


@pytest.mark.slow  # of made means it is tested below
def test_an_absent_task_is_left_out_with_its_row_and_its_column(config, looked, tmp_path):
    loop.train(changed(config, affinity_every=2, missing=0.85), tmp_path / "few", programs=looked[2])
    found, figures = read(tmp_path / "few"), told(tmp_path / "few")
    number = np.array([sum(f"affinity/{pair}" in line for line in figures.values()) for pair in PAIRS])
    np.testing.assert_array_equal(found.count.ravel(), number)
    assert found.count[0, 1] == found.count[1, 0] < found.count.max() <= 3
    np.testing.assert_array_equal(np.isnan(found.mean), found.count == 0)


def test_a_resumed_run_has_the_same_mean(config, looked, tmp_path):
    stopped = tmp_path / "stopped"
    shutil.copytree(looked[0], stopped)
    shutil.rmtree(stopped / "checkpoints" / "6")  # as where it was killed before its end
    (stopped / AFFINITY_FILE).unlink()
    loop.train(changed(config, affinity_every=2), stopped, programs=looked[2])
    assert (looked[0] / AFFINITY_FILE).read_text() == (stopped / AFFINITY_FILE).read_text()


@pytest.mark.slow
def test_a_gradient_method_has_the_first_order_from_its_own_step_alone(config, tmp_path):
    config = changed(config, balance="imtl_g()", affinity_every=1, affinity_step=0.0, steps=1)
    assert experiment.build(checked(config)).affinity() is None
    loop.train(config, tmp_path)
    found, means = told(tmp_path)[1], read(tmp_path)
    assert not [key for key in found if key.startswith("affinity/")]
    assert means.h == 0
    assert np.isnan(means.mean).all()
    assert not means.count.any()
    np.testing.assert_allclose(means.first, table(found, "affinity_first"))


@pytest.mark.slow
def test_what_is_measured_beside_the_step_is_what_the_step_does_not_see(config):
    def beside(**changes):
        parts = experiment.build(checked(changed(config, affinity_every=1, **changes)))
        state, look = loop.start(parts, checks.fit(parts))[0], parts.affinity()
        return set(look(state, parts.spread.place_batch(next(parts.train_batches()))))

    assert beside(balance="pcgrad()") == {"affinity", "losses", "present"}
    assert beside(affinity_step=0.0) == {"affinity_first", "losses", "present"}


def test_pairs_without_an_affinity_are_left_out_of_the_mean():
    means = Means(["a", "b"], 0.1, 10)
    means.add({"affinity": np.array([[1.0, 2.0], [3.0, 4.0]]), "losses": np.ones(2)})
    before = means.kept()
    figures = means.add({"affinity": np.array([[3.0, np.nan], [np.nan, np.nan]])})
    assert figures == {"affinity/a/a": 3.0}
    after = means.kept()
    assert after["counts"]["affinity"].tolist() == [[2, 1], [1, 1]]
    assert after["totals"]["affinity"].tolist() == [[4, 2], [3, 4]]
    assert before["totals"]["affinity"].tolist() == [[1, 2], [3, 4]], "what is being saved does not change"


def test_exact_means_of_steps_of_another_length_are_let_go_and_that_is_told():
    means = Means(["a", "b"], 0.1, 10)
    means.add({"affinity": np.ones((2, 2)), "affinity_first": np.ones((2, 2))})
    known = means.kept()

    def counts(h, every):
        return {name: x.sum() for name, x in Means(["a", "b"], h, every, known).kept()["counts"].items()}

    assert counts(0.1, 5) == {"affinity": 4, "affinity_first": 4}
    assert counts(0.2, 10) == {"affinity": 0, "affinity_first": 4}
    assert "affinity_step is 0.2 and was 0.1: exact affinities of 1 steps are let go" in (let_go(known, 0.2) or "")
    nothing_lost = (None, Means(["a", "b"], 0.0, 10).kept())
    assert let_go(known, 0.1) is None
    assert not any(let_go(one, 0.2) for one in nothing_lost)


def test_a_pair_that_was_never_measured_is_no_number(tmp_path):
    means = Means(["a", "b"], 0.1, 10)
    means.add({"affinity": np.array([[1.0, np.nan], [2.0, 3.0]])})
    means.write(tmp_path, 40)
    found = read(tmp_path)
    np.testing.assert_array_equal(found.mean, [[1, np.nan], [2, 3]])
    assert found.count.tolist() == [[1, 0], [1, 1]]
    with pytest.raises(UserError, match="affinity of 'a' to 'b' is nan"):
        mtl.relations.group(found.mean, found.tasks, most=1)


def test_a_file_that_is_not_there_or_broken_is_told(tmp_path):
    with pytest.raises(UserError, match=r"no affinity.json in .* expected the workdir of a run with config.aff"):
        read(tmp_path)
    Means(["a", "b"], 0.1, 10).write(tmp_path, 40)
    whole = json.loads((tmp_path / AFFINITY_FILE).read_text())
    for broken, said in (
        ("[", "JSONDecodeError"),
        ({**whole, "count": None}, "TypeError"),
        ({**whole, "tasks": ["a"]}, r"mean has shape \(2, 2\), of 1 tasks"),
        ({key: value for key, value in whole.items() if key != "first"}, "KeyError: 'first'"),
    ):
        (tmp_path / AFFINITY_FILE).write_text(broken if isinstance(broken, str) else json.dumps(broken))
        with pytest.raises(UserError, match=f"cannot read .*{said}"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"affinity_every": -1}, "affinity_every=-1: expected at least 0"),
        ({"affinity_step": -0.1}, "affinity_step=-0.1: expected a positive number, or 0 for the first order alone"),
        ({"affinity_step": float("nan")}, "affinity_step=nan: expected a positive number"),
        ({"affinity_every": 5, "measure": "features"}, "at the encoder's output it would have been that of a step on"),
        ({"affinity_every": 5, "measure": "last_layer"}, "measure='last_layer': .* Expected measure='shared'"),
    ],
)
def test_what_cannot_be_is_refused(digits, changes, said):
    with pytest.raises(UserError, match=said):
        checked(changed(digits, **changes))
    assert mtl.train.default_config().affinity_every == 0


def test_what_has_none_is_told_at_the_start(digits):
    def said(**changes):
        parts = experiment.build(checked(changed(digits, affinity_every=1, parallel="mesh(data=1)", **changes)))
        return [note for note in checks.notes(parts, checks.fit(parts)) if "affinity_every=1" in note], parts

    assert not said()[0]
    apart = {"model": "SingleTask(MLP((4,)))", "optimizers": dict.fromkeys(("left", "right"), "sgd(0.1)")}
    assert "share nothing" in said(**apart)[0][0]
    alone = {"tasks": {"left": digits.tasks.left}, "optimizers": dict.fromkeys(("shared", "left"), "sgd(0.1)")}
    notes, parts = said(**alone)
    assert "one task alone has no affinity to others" in notes[0]
    assert parts.affinity() is None
