"""Who gets which job: what is done stays, what others hold is left to them, what failed waits until it is asked for."""

import json
import os
import time

import pytest

from mtljax.errors import UserError
from mtljax.studies.comparison import notes
from mtljax.studies.comparison.board import Board
from mtljax.studies.comparison.notes import DONE, FAILED, HELD, KILLED, STOPPED, Outcome
from mtljax.studies.comparison.plan import Job
from mtljax.train.run.holder import GONE
from mtljax.train.run.workdir import sole_use

A0, A1, B0, B1 = (Job("balance", f"{m}()", seed, m) for m in "ab" for seed in (0, 1))
JOBS = [A0, B0, A1, B1]


def taken(board, last=None):
    found = board.take(last)
    return found and found.job


def test_each_job_is_given_once_with_its_note(tmp_path):
    board = Board(tmp_path, JOBS)
    found = [board.take() for _ in JOBS]
    assert board.take() is None
    assert {one.job for one in found} == set(JOBS)
    note = json.loads((tmp_path / "a/seed-0/job.json").read_text())
    assert note == {"version": 1, "vary": "balance", "method": "a()", "seed": 0, "task": None, "share": 1.0,
                    "attempts": 1, "outcome": "", "message": ""}  # fmt: skip
    for one in found:
        board.end(one, Outcome(DONE))
    assert board.left == []
    assert not (tmp_path / "a/seed-0" / notes.JOB_LOCK).exists()
    assert Board(tmp_path, JOBS).left == []  # and none again by a later command


def test_what_is_compiled_goes_first_and_workers_begin_with_different_methods(tmp_path):
    board = Board(tmp_path, JOBS)
    assert taken(board) == A0
    assert taken(board) == B0
    assert taken(board, B0.program) == B1
    assert taken(board, B1.program) == A1


def test_what_another_process_holds_is_left_to_it(tmp_path):
    with sole_use(tmp_path / A0.folder, notes.JOB_LOCK):
        board = Board(tmp_path, [A0, A1])
        first = board.take()
        assert first.job == A1
        board.end(first, Outcome(DONE))
        assert board.take() is None
        assert board.ended[A0].status == HELD
        assert f"process {os.getpid()} on" in board.ended[A0].message
    assert taken(Board(tmp_path, [A0])) == A0


def test_what_another_has_trained_meanwhile_is_not_trained_again(tmp_path):
    board = Board(tmp_path, [A0, A1])
    notes.note(tmp_path, A0, Outcome(DONE))
    assert taken(board) == A1
    assert board.ended[A0].status == DONE


def held_elsewhere(folder, age):
    folder.mkdir(parents=True)
    lock = folder / notes.JOB_LOCK
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 12}))
    os.utime(lock, (time.time() - age,) * 2)


def test_a_lock_of_a_living_process_on_another_host_is_respected(tmp_path):
    held_elsewhere(tmp_path / A0.folder, age=GONE / 2)
    board = Board(tmp_path, [A0])
    assert board.take() is None
    assert "in use by another run (process 12 on elsewhere)" in board.ended[A0].message
    assert (tmp_path / A0.folder / notes.JOB_LOCK).exists()


def test_a_lock_whose_process_on_another_host_is_gone_is_free(tmp_path):
    held_elsewhere(tmp_path / A0.folder, age=GONE * 2)
    assert taken(Board(tmp_path, [A0])) == A0


@pytest.mark.parametrize("status", [FAILED, KILLED])
def test_what_failed_is_tried_again_only_where_that_is_asked_for(tmp_path, status):
    notes.note(tmp_path, A0, Outcome())
    notes.note(tmp_path, A0, Outcome(status, "why"))
    for name in ("metrics.jsonl", notes.LOG_FILE):
        (tmp_path / A0.folder / name).write_text("")
    (tmp_path / A0.folder / "checkpoints").mkdir()
    board = Board(tmp_path, [A0])
    assert board.take() is None
    assert board.ended[A0] == Outcome(status, "why")
    board = Board(tmp_path, [A0], retry_failed=True)
    assert taken(board) == A0
    there = {file.name for file in (tmp_path / A0.folder).iterdir()} - {notes.JOB_FILE, notes.JOB_LOCK}
    # What was killed goes on; what failed would fail again, and begins anew.
    assert there == {notes.LOG_FILE} | ({"metrics.jsonl", "checkpoints"} if status == KILLED else set())
    assert notes.read(tmp_path / A0.folder)["attempts"] == 2


@pytest.mark.parametrize("before", [Outcome(), Outcome(STOPPED)], ids=["parent killed", "stopped"])
def test_what_was_stopped_goes_on_and_is_no_other_attempt(tmp_path, before):
    notes.note(tmp_path, A0, Outcome())
    if before.status:
        notes.note(tmp_path, A0, before)
    assert taken(Board(tmp_path, [A0])) == A0
    assert notes.read(tmp_path / A0.folder)["attempts"] == 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="cannot write to workdir"):
        Board(tmp_path, [A0]).take()


def test_a_note_that_is_cut_off_is_no_note(tmp_path):
    (tmp_path / A0.folder).mkdir(parents=True)
    (tmp_path / A0.folder / notes.JOB_FILE).write_text('{"outcome": "do')
    assert taken(Board(tmp_path, [A0])) == A0


def test_the_last_step_is_read_from_what_is_whole(tmp_path):
    assert notes.last_step(tmp_path) == 0
    (tmp_path / "run.json").write_text('{"step": 2}')
    assert notes.last_step(tmp_path) == 2
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 7, "split": "train"}\n{"step": 8, "spl')
    assert notes.last_step(tmp_path) == 7


def test_a_folder_of_another_method_with_the_same_letters_is_refused(tmp_path):
    notes.note(tmp_path, A0, Outcome(DONE))
    notes.refuse_another(tmp_path, A0)
    with pytest.raises(UserError, match=r"holds a run of balance='a\(\)', and balance='a\[\]' has the same letters"):
        notes.refuse_another(tmp_path, Job("balance", "a[]", 0, "a"))
