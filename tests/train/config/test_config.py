"""The config: types, changes, and its copy in the workdir."""

import ml_collections
import pytest

from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config import default as run_config
from mtljax.train.run import config_file


def config(**changes):
    made = default_config()
    made.tasks = {"depth": "depth()"}
    made.optimizers = {"shared": "sgd(0.1)", "depth": "sgd(0.1)"}
    made.update(changes)
    return made


def test_defaults_fill_what_a_config_leaves_out():
    found = run_config.checked(ml_collections.ConfigDict({"tasks": {"depth": "depth()"}, "steps": 7}))
    assert found.steps == 7
    assert found.batch_size == default_config().batch_size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 5}, r"unknown config key 'step'; did you mean 'steps'"),
        ({"steps": "many"}, r"config.steps='many': expected a value of type int"),
        ({"steps": 1.5}, r"config.steps=1.5: expected a value of type int"),
        ({"steps": 0}, r"config.steps=0: expected at least 1"),
        ({"seed": -1}, r"config.seed=-1: expected at least 0"),
        ({"seed": 2**32}, r"config.seed=4294967296: expected at most 4294967295"),
        ({"missing": 1.0}, r"config.missing=1.0: expected a share, from 0 to below 1"),
        ({"missing": -0.1}, r"config.missing=-0.1: expected a share"),
        ({"batch_size": True}, r"config.batch_size=True: expected a value of type int"),
        (
            {"balance": {"shared": "pcgrad()"}},
            r"config.balance=\{'shared': 'pcgrad\(\)'\}: expected a value of type str",
        ),
        ({"balance_groups": {"a": "pcgrad()"}}, r"config.balance_groups=\{'a': 'pcgrad\(\)'\}: expected pairs"),
        ({"steps": {"a": 1}}, r"config.steps=\{'a': 1\}: expected a value of type int"),
        ({"balance": 3}, r"config.balance=3: expected a value of type str"),
        ({"tasks": "depth()"}, r"config.tasks='depth\(\)': expected"),
        ({"profile": (3,)}, r"config.profile=\(3,\): expected two steps"),
        ({"profile": (5, 8), "steps": 7}, r"config.profile=\(5, 8\): expected .* of the steps 1 to 7"),
    ],
)
def test_mistakes_are_named(changes, message):
    given = ml_collections.ConfigDict({"tasks": {"depth": "depth()"}, **changes})
    with pytest.raises(UserError, match=message):
        run_config.checked(given)


def test_a_config_without_tasks_says_so():
    with pytest.raises(UserError, match=r"config.tasks is empty"):
        run_config.checked(default_config())


def test_the_config_in_the_workdir_is_the_config(tmp_path):
    given = run_config.checked(config(steps=9))
    config_file.settle(given, tmp_path / "run")
    assert run_config.checked(config_file.load(tmp_path / "run" / "config.json")) == given


def test_another_config_is_refused_with_the_keys_that_differ(tmp_path):
    config_file.settle(config(), tmp_path)
    other = config(steps=11, optimizers={"shared": "sgd(0.1)", "depth": "adam(0.1)"})
    with pytest.raises(UserError, match=r"(?s)optimizers.depth: 'sgd\(0.1\)' there, 'adam\(0.1\)' now.*steps: 1000 "):
        config_file.settle(other, tmp_path)
    assert config_file.load(tmp_path / "config.json").steps == 1000
    config_file.settle(other, tmp_path, allow_change=True)
    assert config_file.load(tmp_path / "config.json").steps == 11


def test_a_workdir_may_be_older_than_a_key(tmp_path):
    older = config()
    del older["missing"]
    config_file.settle(older, tmp_path)
    config_file.settle(config(), tmp_path)
    other = config()
    other.missing = 0.5
    with pytest.raises(UserError, match=r"missing: 0\.0 there, 0\.5 now"):
        config_file.settle(other, tmp_path)


def test_workdirs_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no config.json in .*it is no workdir"):
        config_file.load(tmp_path / "config.json")
    (tmp_path / "config.json").write_text('{"steps": ')
    with pytest.raises(UserError, match=r"cannot read .*config.json"):
        config_file.load(tmp_path / "config.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to workdir .*file"):
        config_file.settle(config(), tmp_path / "file")
