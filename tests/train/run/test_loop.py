"""What the loop does with a step's report: it reads it one step late."""

import types
from unittest import mock

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.train.run import steps
from mtljax.train.run.checkpoint import Restored

GOOD = {
    "losses": [0.5, 0.25],
    "present": [True, True],
    "weights": [1.0, 1.0],
    "solved": True,
    "finite": True,
    "finite_gradient": True,
}


class Kept:
    """Stands for checkpoints and for figures: keeps what it is given."""

    def __init__(self):
        self.saved, self.written, self.figures = [], [], []

    def begin(self):
        """A workdir of its own is there already."""

    def save(self, step, state, examples, *, wait=False):
        self.saved.append((step, state, examples))

    def write(self, step, split, figures, passing=None):
        self.written.append(step)
        self.figures.append(figures)


@pytest.fixture(autouse=True)
def no_workdir(monkeypatch):
    monkeypatch.setattr(steps, "settle", lambda parts, workdir: None)
    monkeypatch.setattr(steps.frozen_networks, "without", lambda state: state)


def run_of(reports, balancer=None, start=0, **changes):
    """A loop over steps that report so; its state is the number of steps taken."""

    def step(state, batch):
        found = GOOD | {"skipped": 0, "skipped_in_row": 0} | reports[state]
        return state + 1, {name: np.asarray(value) for name, value in found.items()}

    config = {"steps": len(reports), "batch_size": 4, "checkpoint_every": 100, "eval_every": 100, "log_every": 1}
    config |= {"dtype": "float32", "profile": (0, 0)}
    config |= {"max_skipped_in_row": 2, "balance": "stch()", "balance_groups": ()} | changes
    spread = types.SimpleNamespace(place_batch=lambda batch: batch, to_disk=lambda state: state)
    parts = types.SimpleNamespace(
        config=types.SimpleNamespace(**config),
        tasks={name: types.SimpleNamespace(labels=()) for name in ("depth", "edge")},
        balancer=balancer,
        spread=spread,
        training=types.SimpleNamespace(unreadable=0),
        learning_rates=lambda updates: {"depth": 0.5 * updates},
    )
    kept = Kept()
    begun = Restored(start, step=start, examples=4 * start)
    record = mock.MagicMock()
    return steps.Loop(parts, "runs/a", begun, step, None, iter(range(100)), kept, kept, record), kept


def skipped(in_row, **changes):
    return {"finite": False, "finite_gradient": False, "skipped": in_row, "skipped_in_row": in_row} | changes


def test_giving_up_saves_the_state_as_the_step_it_is_of(capsys):
    made, kept = run_of([{}, skipped(1), skipped(2), skipped(3), {}])
    with pytest.raises(
        UserError, match=r"2 updates in a row were not finite .* at step 3; .* saved in runs/a as step 4"
    ):
        made.run()
    assert kept.saved == [(4, 4, 16)]
    assert kept.written == [1, 2, 3, 4]
    assert "step 4: non-finite gradient" in capsys.readouterr().err


def test_giving_up_at_the_last_step_saves_that():
    made, kept = run_of([{}, skipped(1), skipped(2)])
    with pytest.raises(UserError, match=r"at step 3; .* as step 3"):
        made.run()
    assert kept.saved == [(3, 3, 12)]


def test_what_is_not_finite_is_told(capsys):
    bad = skipped(1, losses=[np.nan, 0.5]), {}, skipped(2), {}, skipped(3, finite_gradient=True), {}
    run_of(bad, max_skipped_in_row=9)[0].run()
    err = capsys.readouterr().err
    assert "step 1: non-finite loss of depth;" in err
    assert "step 3: non-finite gradient;" in err
    assert "step 5: non-finite parameters or state after the update;" in err


NEEDY = types.SimpleNamespace(needs_positive_losses=True)


@pytest.mark.parametrize("loss", [0.0, -0.25])
def test_a_loss_that_has_no_logarithm_stops_a_method_that_takes_it(loss):
    made, kept = run_of([{}, {"losses": [0.5, loss]}, {}, {}], NEEDY)
    with pytest.raises(
        UserError, match=rf"step 2: the loss of task 'edge' is {loss:.4g}, but balance='stch\(\)' takes"
    ):
        made.run()
    assert not kept.saved


def test_absent_tasks_and_other_methods_may_have_such_losses():
    absent = {"losses": [0.5, 0.0], "present": [True, False]}
    run_of([{}, absent, {}], NEEDY)[0].run()
    run_of([{}, {"losses": [0.5, -3.0]}, {}], types.SimpleNamespace())[0].run()


def test_a_balancer_that_did_not_solve_is_told():
    made, kept = run_of([{}, {"solved": False}])
    made.run()
    assert [figures.get("balance/unsolved") for figures in kept.figures] == [None, 1.0]


def test_learning_rates_are_those_of_the_updates_that_were_made():
    made, kept = run_of([{}, skipped(1), {"skipped": 1}, {"skipped": 1}])
    made.run()
    assert [figures["learning_rate/depth"] for figures in kept.figures] == [0, 0.5, 0.5, 1]
    made, kept = run_of([skipped(1), {"skipped": 1}])
    made.run()
    assert [figures["learning_rate/depth"] for figures in kept.figures] == [0, 0], "and never those of update -1"


def test_an_error_of_anothers_code_saves_what_there_is(capsys):
    made, kept = run_of([{}, {}, {"losses": [1.0]}])
    made._batches = iter([0, 1])  # then there is none: an error, but for tests alone
    with pytest.raises(StopIteration):
        made.run()
    assert [step for step, *_ in kept.saved] == [2]
    assert kept.written == [1, 2], "the step that was on its way is told"
    assert "StopIteration: saved step 2 in runs/a." in capsys.readouterr().err


def test_the_state_of_the_best_evaluation_is_kept_as_that_of_its_step():
    made, _ = run_of([{}, {}, {}], eval_every=2)
    made.evaluate = lambda state, between: {"depth/AbsRel": 0.5}
    best = Kept()

    def note(step, figures, save):
        assert figures == {"depth/AbsRel": 0.5}
        save(best, step)

    made._best = types.SimpleNamespace(note=note)
    made.run()
    assert best.saved == [(2, 2, 8)]
