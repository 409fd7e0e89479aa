"""Which runs a comparison has: methods, values of any key, seeds, shares, parts for several commands."""

import ml_collections
import pytest

from mtljax.errors import UserError
from mtljax.studies.comparison.plan import Job, config_of, jobs_of, methods_of, part_of, shares_of
from mtljax.studies.comparison.values import folder_of, keys_of
from mtljax.train.config.default import checked
from tests.studies.comparison.digits_config import get_config


@pytest.fixture(scope="module")
def config():
    return checked(get_config())


def jobs(config, methods, vary="balance", seeds=1, shares=(1.0,)):
    return jobs_of(config, vary, methods_of(config, vary, methods), range(seeds), shares)


def test_single_is_a_network_a_task(config):
    left, right = jobs(config, "single")
    assert (left.folder, right.folder) == ("single/left/seed-0", "single/right/seed-0")
    own = config_of(config, left)
    assert dict(own.tasks) == {"left": config.tasks.left}
    assert set(own.optimizers) == {"shared", "left"}
    assert own.balance == config.balance


def test_single_is_a_network_a_task_with_its_ancestors(config):
    config = ml_collections.ConfigDict(config.to_dict())
    config.tasks = {"far": "depth()", "way": "odometry(depth='far')"}
    config.optimizers = dict.fromkeys(("shared", "far", "way"), "adam(1e-2)")
    found = {job.task: config_of(config, job) for job in jobs(config, "single")}
    assert {task: (set(own.tasks), set(own.optimizers)) for task, own in found.items()} == {
        "far": ({"far"}, {"shared", "far"}),
        "way": ({"far", "way"}, {"shared", "far", "way"}),
    }


def test_a_single_network_keeps_its_best_by_its_own_metric_alone(config):
    changed = type(config)(config.to_dict() | {"keep_best": "right/accuracy", "balance_groups": ((".*", "pcgrad()"),)})
    left, right = (config_of(changed, job) for job in jobs(config, "single"))
    assert (left.keep_best, right.keep_best) == ("", "right/accuracy")
    assert left.balance_groups == ()


def test_a_method_is_a_value_of_the_key_and_a_seed(config):
    first, second = jobs(config, "cagrad(c=0.4)", seeds=2)
    assert [job.folder for job in (first, second)] == ["cagrad-c=0.4/seed-0", "cagrad-c=0.4/seed-1"]
    made = config_of(config, second)
    assert (made.balance, made.seed) == ("cagrad(c=0.4)", 1)
    assert config.balance == "equal()"  # the comparison's own stays


@pytest.mark.parametrize(
    ("vary", "methods", "changed", "folder"),
    [
        ("batch_size", "4;8", {"batch_size": 4}, "batch_size=4"),
        ("remat", "TRUE;false", {"remat": True}, "remat=True"),
        ("missing", "0.5", {"missing": 0.5}, "missing=0.5"),
        ("model", "MultiTask(encoder=MLP([4, 4]))", {"model": "MultiTask(encoder=MLP([4, 4]))"}, None),
        ("tasks.left", "classify(num_classes=10)", {"tasks.left": "classify(num_classes=10)"}, None),
        ("optimizers.shared", "sgd(1e-2)", {"optimizers.shared": "sgd(1e-2)"}, "sgd-1e-2"),
        ("optimizers.stitch", "sgd(1.0)", {"optimizers.stitch": "sgd(1.0)"}, "sgd-1.0"),
        ("no_decay", "bias|norm", {"no_decay": "bias|norm"}, "bias-norm"),
        (
            "balance, batch_size",
            "moco(beta=0.1, gamma=0.2)|4; equal() | 8",
            {"balance": "moco(beta=0.1, gamma=0.2)", "batch_size": 4},
            "moco-beta=0.1-gamma=0.2-batch_size=4",
        ),
    ],
)
def test_any_key_varies_with_values_of_its_type(config, vary, methods, changed, folder):
    job = jobs(config, methods, vary)[0]
    made = config_of(config, job)
    for key, value in changed.items():
        outer, _, inner = key.partition(".")
        found = made[outer][inner] if inner else made[outer]
        assert found == value
        assert type(found) is type(value)
    assert folder is None or job.place == folder
    assert checked(made)


@pytest.mark.parametrize(
    ("vary", "methods", "message"),
    [
        ("balance", " ; ", "--methods is empty"),
        ("balance", "equal();equal()", r"names 'equal\(\)' twice"),
        ("balance", "single;single", "names 'single' twice"),
        ("batch_size", "4;04", "names '04' twice"),
        ("batch_size", "4;four", "'four' is no value of batch_size; expected a whole number"),
        ("missing", "nan", "'nan' is no value of missing; expected a number"),
        ("remat", "yes", "expected true or false"),
        ("balanse", "equal()", "unknown config key to vary .* 'balanse'; did you mean 'balance'"),
        ("tasks", "equal()", "unknown config key to vary"),
        ("tasks.lefd", "x()", "did you mean 'tasks.left'"),
        ("balance_groups", "[('.*', 'equal()')]", "expected --vary=balance, with per_group"),
        ("profile", "(1, 2)", "unknown config key to vary"),
        ("seed", "1;2", "seeds are compared by --seeds"),
        ("balance,balance", "a|b", "names 'balance' twice"),
        ("balance,measure", "equal()", r"'equal\(\)' has 1 values with | between them; expected 2"),
    ],
)
def test_misuse_of_methods(config, vary, methods, message):
    with pytest.raises(UserError, match=message):
        methods_of(config, vary, methods)


@pytest.mark.parametrize(
    ("text", "message"),
    [("0.1;2", "'2' is no share"), ("0", "'0' is no"), ("a", "'a'"), ("1;1.0", "twice"), (";", "empty")],
)
def test_misuse_of_shares(config, text, message):
    with pytest.raises(UserError, match=message):
        shares_of(config, text)


def test_shares_have_folders_of_their_own_and_all_examples_come_first(config):
    found = jobs(config, "single;equal()", shares=shares_of(config, "0.25; 1"))
    assert [job.folder for job in found] == [
        "single/left/seed-0",
        "single/right/seed-0",
        "equal/seed-0",
        "single/left/share-0.25/seed-0",
        "single/right/share-0.25/seed-0",
        "equal/share-0.25/seed-0",
    ]
    assert [config_of(config, job).get("train_share", 1.0) for job in found] == [1, 1, 1, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("n", [1, 2, 5, 9, 16])
def test_parts_are_all_of_the_jobs_each_once(config, n):
    whole = jobs(config, "single;equal();upgrad()", seeds=2)
    parts = [part_of(whole, f"{i}/{n}") for i in range(1, n + 1)]
    assert sorted(job.folder for part in parts for job in part) == sorted(job.folder for job in whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("part", ["17/16", "0/4", "3", "a/b", "-1/2", "1/0"])
def test_a_part_that_is_none_is_refused(part):
    with pytest.raises(UserError, match=f"--job={part}: expected i/n"):
        part_of([Job("balance", "equal()", 0, "equal")], part)


def test_names_of_folders_stay_in_the_workdir_and_short():
    assert folder_of({"init_from": "../../elsewhere"}) == "elsewhere"
    assert folder_of({"init_from": ".."}) == "_"
    long, other = (folder_of({"model": "MLP([4])" * 50 + end}) for end in "ab")
    assert long != other
    assert len(long) <= 200


def test_optimisers_of_groups_that_the_config_does_not_name_can_vary(config):
    assert keys_of(config, "optimizers.stitch") == ("optimizers.stitch",)
