"""Going on with a changed config: what cannot be gone on from is named, and a resume that fails changes nothing."""

import pytest

from mtljax.errors import UserError
from mtljax.train.config.parts import Experiment
from mtljax.train.run import loop
from mtljax.train.run.difference import can_start_from, differences
from mtljax.train.spread.program import Program
from tests.train.conftest import changed as a_copy

LEFT = "classify(num_classes=10, label='left')"
RATE = "adam(1e-3)"


@pytest.fixture(scope="module")
def config(digits):
    return digits


def changed(config, **changes):
    return a_copy(config, **{"steps": 4, **changes})


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """The workdir of a run, and its figures."""
    workdir = tmp_path_factory.mktemp("resumed") / "run"
    return workdir, loop.train(config, workdir)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def refusal(config, workdir, **changes):
    """What is said of a config that cannot go on in a workdir, which stays as it is."""
    before = contents(workdir)
    with pytest.raises(UserError) as refused:
        loop.train(changed(config, **changes), workdir, allow_config_change=True)
    assert contents(workdir) == before
    return str(refused.value)


RIGHT = "classify(num_classes=10, label='right')"
slow = pytest.mark.slow


def groups(*names):
    return dict.fromkeys(names, RATE)


@pytest.mark.parametrize(
    ("changes", "said", "can_start"),
    [
        pytest.param(
            {
                "tasks": {"again": LEFT, "left": LEFT, "right": RIGHT},
                "optimizers": groups("shared", "again", "left", "right"),
            },
            ["  params/heads_again: not there, new", "  balance/weights: (2,) there, (3,) now"],
            True,
            id="added",
        ),
        pytest.param(
            {"tasks": {"left": LEFT}, "optimizers": groups("shared", "left")},
            ["  params/heads_right: there, not now", "  balance/weights: (2,) there, (1,) now"],
            True,
            id="removed",
            marks=slow,
        ),
        pytest.param(
            {"tasks": {"left": LEFT, "other": RIGHT}, "optimizers": groups("shared", "left", "other")},
            ["  params/heads_other: not there, new", "  params/heads_right: there, not now"],
            True,
            id="renamed",
            marks=slow,
        ),
        pytest.param(
            {"model": "MultiTask(MLP((6,)))"},
            ["  params/encoder/", ", 4) there, ", ", 6) now"],
            False,
            id="width",
        ),
        pytest.param(
            {"model": "MultiTask(MLP((4, 4)))"},
            ["  params/encoder/", ": not there, new"],
            True,
            id="depth",
            marks=slow,
        ),
        pytest.param(
            {"model": "CrossStitch(MLP((4,)))", "optimizers": groups("stitch", "left", "right")},
            ["  params/encoder: there, not now", "  params/networks_left: not there, new"],
            True,
            id="model",
            marks=slow,
        ),
        pytest.param(
            {"optimizers": {"shared": "sgd(0.1)", "left": RATE, "right": RATE}},
            ["  optimizer/inner_states/shared"],
            True,
            id="optimiser",
        ),
        pytest.param({"balance": "gradnorm()"}, ["  balance/"], True, id="balancer", marks=slow),
        pytest.param(
            {"tasks": {"left": LEFT, "right": "classify(num_classes=11, label='right')"}},
            ["bias: (10,) there, (11,) now"],
            True,
            id="classes",
            marks=slow,
        ),
    ],
)
def test_what_differs_is_named_and_nothing_changed(config, trained, changes, said, can_start):
    message = refusal(config, trained[0], **changes)
    assert f"checkpoint {trained[0]}/checkpoints/2 can be read, but not into the state" in message
    for part in said:
        assert part in message
    assert ("--config.init_from=" in message) is can_start
    assert len(message.splitlines()) <= 13


@pytest.mark.parametrize(
    "changes",
    [{"dtype": "bfloat16"}, {"optimizers": dict.fromkeys(("shared", "left", "right"), "adam(1e-3, mu_dtype='float16')")}],
    ids=["computation", "moments"],
)  # fmt: skip
@pytest.mark.slow
def test_another_dtype_goes_on(config, tmp_path, changes):
    loop.train(config, tmp_path)
    loop.train(changed(config, **changes), tmp_path, allow_config_change=True)
    assert (tmp_path / "checkpoints" / "4").is_dir()


def test_what_fails_after_the_checkpoint_was_read_changes_nothing_either(config, trained, monkeypatch):
    assert "more than the 10 examples" in refusal(config, trained[0], batch_size=16)

    def step(state, batch):
        raise UserError("it cannot be compiled")

    step.program = Program(step)
    monkeypatch.setattr(Experiment, "train_step", lambda self, optimizer: step)
    assert refusal(config, trained[0], seed=3) == "it cannot be compiled"


@slow
def test_what_is_offered_works_and_the_run_can_still_be_evaluated(config, trained, tmp_path):
    workdir, figures = trained
    loop.train(changed(config, balance="gradnorm()", init_from=str(workdir), steps=1), tmp_path / "new")
    assert loop.evaluate(config, workdir) == {"step": 2, **figures}


def test_parts_that_only_one_has_are_told_as_one():
    there = {"params/a/x/w": (1,), "params/a/x/b": (1,), "params/a/y/w": (1,), "step": ()}
    now = {"params/a/y/w": (1,), "params/b/w": (1,), "step": ()}
    assert differences(there, now) == ["params/a/x: there, not now", "params/b: not there, new"]
    assert differences(now, now) == []


def test_an_array_where_the_other_has_a_part_is_told():
    assert differences({"balance/rule": (2,)}, {"balance/rule/rates": (3,)}) == [
        "balance/rule: there, not now",
        "balance/rule/rates: not there, new",
    ]


def test_init_from_is_offered_where_it_would_work():
    assert can_start_from({"params/a": (1,), "params/b": (2,)}, {"params/a": (1,), "params/c": (3,)})
    assert not can_start_from({"params/a": (1,), "params/b": (2,)}, {"params/a": (1,), "params/b": (3,)})
    assert not can_start_from({"model_state/a": (1,)}, {"model_state/a": (1,)})
