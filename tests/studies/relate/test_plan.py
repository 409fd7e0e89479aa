"""Which trainings a study wants: measures share networks, readouts have features and nothing else to train."""

import json

import pytest

from mtljax.errors import UserError
from mtljax.studies.comparison.plan import config_of
from mtljax.studies.relate import check, plan
from mtljax.studies.relate.measures import Transfer
from tests.studies.relate.made import TASKS, study

SHAPES = (((4, 4, 8), (2, 2, 16)), (32, 32))


@pytest.fixture
def shapes(monkeypatch):
    """Features of an encoder that is not built."""
    monkeypatch.setattr(plan, "_shapes", lambda config: SHAPES)
    monkeypatch.setattr(plan, "_known", {})


@pytest.mark.parametrize(
    ("relations", "sizes"),
    [
        ("transfer()", [1, 1, 1]),
        ("networks()", [1, 1, 1, 2, 2, 2, 3]),
        ("networks(sets='pairs')", [1, 1, 1, 2, 2, 2, 3]),
        ("covariance()", [3]),
        ("lookahead()", []),
        ("surrogate(sets=9);transfer()", [1, 1, 1, 2, 2, 2, 3]),
    ],
)
def test_measures_want_sets_of_tasks_and_share_them(tmp_path, relations, sizes):
    assert [len(one) for one in plan.sets_of(study(tmp_path, relations))] == sizes


def test_pairs_leave_larger_sets_out_but_all():
    made = study(None, "networks(sets='pairs')", tasks=("a", "b", "c", "d"))
    assert [len(one) for one in plan.sets_of(made)] == [1] * 4 + [2] * 6 + [4]


def test_every_job_has_a_folder_of_its_own(tmp_path, shapes):
    made = study(tmp_path, "transfer(order=2);networks();lookahead();surrogate();covariance()", seeds=(0, 1))
    higher = plan.combined(made, {target: [task for task in TASKS if task != target] for target in TASKS})
    more = [plan.readout(made, t, sources, seed) for t, sets in higher.items() for sources in sets for seed in (0, 1)]
    jobs = plan.first_jobs(made) + plan.transfer_jobs(made) + more
    assert len({job.folder for job in jobs}) == len(jobs) == plan.number_of(made)


def test_combinations_are_of_the_five_best_sources():
    made = study(None, "transfer(order=3)", tasks=tuple("abcdefgh"))
    sets = plan.combined(made, {"a": ["h", "g", "b", "d", "c", "e", "f"]})["a"]
    assert len(sets) == 10 + 10
    assert {task for one in sets for task in one} == set("hgbdc")


def test_networks_of_a_few_tasks_have_their_heads_and_optimisers_alone(tmp_path):
    made = study(tmp_path, "networks(early=0.5)")
    pair = config_of(made.config, plan.network(made, ("a", "c"), 3))
    assert (sorted(pair.tasks), sorted(pair.optimizers), pair.seed, pair.eval_every) == (
        ["a", "c"],
        ["a", "c", "shared"],
        3,
        5,
    )
    made.config.balance = "pcgrad()"
    assert config_of(made.config, plan.network(made, ("a", "b"), 0)).balance == "pcgrad()"
    assert config_of(made.config, plan.network(made, ("a",), 0)).balance == "equal()"


def test_a_readout_trains_a_head_on_features(tmp_path, shapes):
    made = study(tmp_path, "transfer(order=2, readout={'steps': 7, 'tasks.a': 'other()'}, share=1/4)")
    config = config_of(made.config, plan.readout(made, "a", ["b", "c"], 0))
    runs = [str(tmp_path / f"networks/{task}/seed-0") for task in "bc"]
    assert config.data.endswith(f"frozen_features(multi_mnist('nowhere'), {runs!r})")
    assert "levels=((4, 4, 16), (2, 2, 32)), size=(32, 32)" in config.model
    assert (config.steps, config.train_share, dict(config.tasks)) == (7, 0.25, {"a": "other()"})
    scratch = config_of(made.config, plan.scratch(made, "a", 0))
    assert (scratch.model, scratch.data, scratch.steps, scratch.train_share) == (
        made.config.model,
        made.config.data,
        7,
        0.25,
    )
    assert config_of(made.config, plan.scratch(made, "b", 0)).tasks["b"] == made.config.tasks["b"]


def test_the_untrained_encoder_is_that_of_a_network_before_its_first_step(tmp_path, shapes):
    job = plan.readout(study(tmp_path, "transfer()"), "b", ["a"], 0, untrained=True)
    assert json.loads(job.changes)["data"].endswith("['" + str(tmp_path / "networks/a/seed-0") + "'], untrained=True)")
    assert job.folder.startswith("readouts/b/from-random/")


def test_many_tasks_are_refused_unless_they_are_meant(tmp_path):
    made = study(tmp_path, "networks()", tasks=tuple("abcdefgh"))
    with pytest.raises(UserError, match=r"wants 263 trainings.*sets='pairs'.*--yes"):
        check.check(made, [1.0], yes=False)
    check.check(made, [1.0], yes=True)


@pytest.mark.parametrize(
    ("relations", "budgets", "message"),
    [
        ("networks()", [0.5, 1.0], r"the budget 0.5 .* below the cheapest cover.*costs 1"),
        ("transfer(order=3)", [1.0], "a target has 2 sources"),
        ("transfer(readout={'stepz': 3})", [1.0], "did you mean 'steps'"),
        ("transfer(readout={'model': 'x'})", [1.0], "unknown config key of transfer"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, relations, budgets, message):
    with pytest.raises(UserError, match=message):
        check.check(study(tmp_path, relations), budgets, yes=False)


def test_one_task_has_no_other(tmp_path):
    with pytest.raises(UserError, match="one task, 'a', has no other"):
        check.check(study(tmp_path, "networks()", tasks=("a",)), [1.0], yes=False)


def test_a_look_ahead_at_the_features_is_refused(tmp_path):
    made = study(tmp_path, "lookahead()")
    made.config.measure = "features"
    with pytest.raises(UserError, match="would have been the affinity of what tasks do to the features"):
        check.check(made, [1.0], yes=False)


def test_a_task_that_wants_another_is_refused(tmp_path):
    made = study(tmp_path, "networks()", tasks=("depth", "ego"))
    made.config.tasks = {"depth": "depth()", "ego": "odometry(depth='depth')"}
    with pytest.raises(UserError, match="'ego' takes the predictions of depth"):
        check.check(made, [1.0], yes=False)


def test_the_share_of_examples_multiplies_that_of_the_config(tmp_path):
    made = study(tmp_path, "transfer(share=0.5)")
    made.config.train_share = 0.5
    assert plan.scratch(made, "a", 0).share == 0.25
    assert isinstance(made.measures["transfer"], Transfer)
