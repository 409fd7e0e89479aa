"""Tasks by flag: added, changed and dropped, with their optimisers."""

import pytest

from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config.task_flags import edit, taken_out


@pytest.fixture
def config():
    made = default_config()
    made.tasks = {"kind": "classify(3)", "shape": "classify(4)"}
    made.optimizers = {"shared": "adam(1e-3)", "kind": "sgd(0.1)", "shape": "sgd(0.2)"}
    return made.lock()


def edited(config, *flags):
    kept, edits = taken_out(["launch.py", *flags])
    edit(config, edits)
    assert kept == ["launch.py"]
    assert config.is_locked
    return config.tasks.to_dict(), config.optimizers.to_dict()


def test_a_task_is_added_changed_and_dropped(config):
    flags = ("--config.tasks.age=regress(label='age=1')", "--config.tasks.shape", "", "-config.tasks.kind=classify(5)")
    tasks, optimizers = edited(config, *flags)
    assert tasks == {"kind": "classify(5)", "age": "regress(label='age=1')"}
    assert optimizers == {"shared": "adam(1e-3)", "kind": "sgd(0.1)", "age": "adam(1e-3)"}


def test_optimisers_have_flags_too_and_the_last_flag_wins(config):
    flags = ("--config.optimizers.age=sgd(1)", "--config.tasks.age=regress('a')", "--config.tasks.age=regress('b')")
    tasks, optimizers = edited(config, *flags, "--config.optimizers.stitch=sgd(2)")
    assert tasks["age"] == "regress('b')"
    assert (optimizers["age"], optimizers["stitch"]) == ("sgd(1)", "sgd(2)")
    assert "stitch" not in edited(config, "--config.optimizers.stitch=")[1]


def test_other_flags_stay():
    given = ["launch.py", "--config=a.py", "--config.tasks={'a': 'b'}", "--config.steps=3", "x"]
    assert taken_out(given) == (given, {"tasks": {}, "optimizers": {}})


def test_a_name_near_another_is_told(config, capsys):
    edited(config, "--config.tasks.kinds=classify(3)", "--config.tasks.weight=regress('w')")
    assert capsys.readouterr().err == "note: config.tasks.kinds is a new task beside 'kind'.\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config.tasks.shap="], r"key to drop of config.tasks: 'shap'; did you mean 'shape'\?"),
        (["--config.optimizers.shard="], r"key to drop of config.optimizers: 'shard'; did you mean 'shared'\?"),
        (
            ["--config.tasks.age"],
            r"^--config.tasks.age: expected --config.tasks.NAME='call-string', or NAME='' for none",
        ),
        (["--config.tasks.age", "--config.steps=2"], r"^--config.tasks.age: expected"),
        (["--config.tasks.a.b=depth()"], r"^--config.tasks.a.b=depth\(\): expected"),
    ],
)
def test_mistakes_are_told(config, flags, message):
    with pytest.raises(UserError, match=message):
        edited(config, *flags)


def test_a_config_without_tasks_has_none_to_change():
    config = default_config()
    del config["tasks"]
    with pytest.raises(UserError, match=r"unknown config key 'tasks'"):
        edited(config, "--config.tasks.age=regress('age')")
