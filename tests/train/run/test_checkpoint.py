"""Checkpoints: what is saved comes back bit by bit, and damage costs one checkpoint at most."""

import contextlib
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp

from mtljax.errors import UserError
from mtljax.train.run import checkpoint
from mtljax.train.run.checkpoint import Checkpoints
from tests.train import toys


def states(count):
    """States after 1, 2, ... steps of a model with batch statistics, PCGrad's key and Adam's moments."""
    state, step = toys.setup(norm="batch", optimizer=optax.adam(1e-2))
    found = []
    for i in range(count):
        state, _ = step(state, toys.batch(i))
        found.append(state)
    return found


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def made():
    return states(4)


@pytest.fixture(scope="module")
def taken(made, tmp_path_factory):
    """A folder that holds one with checkpoints of steps 1, 2 and 3, taken as a run takes them, and their checksums."""
    base = tmp_path_factory.mktemp("taken")
    with contextlib.closing(Checkpoints(base / "checkpoints", keep=3)) as checkpoints:
        for step, state in enumerate(made[:3], 1):
            checkpoints.save(step, state, 16 * step)
    return base


@pytest.fixture
def saved(taken, tmp_path):
    """The folder of the checkpoints, of a copy of that."""
    return shutil.copytree(taken, tmp_path, dirs_exist_ok=True) / "checkpoints"


def restored(folder, template):
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        return checkpoints.restore(template)


def test_the_newest_comes_back_with_its_place_in_the_data(saved, made):
    state, step, examples, _ = restored(saved, made[0])
    assert step == 3
    assert_same(state, made[2])
    assert examples == 48


def test_the_oldest_are_dropped(made, tmp_path):
    with contextlib.closing(Checkpoints(tmp_path, keep=2)) as checkpoints:
        for step, state in enumerate(made, 1):
            checkpoints.save(step, state, 16, wait=True)
        assert checkpoints.steps == [3, 4]


def test_an_empty_folder_has_none(made, tmp_path):
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        assert checkpoints.restore(made[0]) is None


def largest(folder):
    return max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


def truncate_all(folder):
    for file in folder.rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)


def flip_a_bit(folder):
    file = largest(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        truncate_all,
        lambda f: os.truncate(largest(f), 10),
        lambda f: os.truncate(largest(f), 0),
        flip_a_bit,
        lambda f: largest(f).unlink(),
    ],
    ids=["all-halved", "largest-cut", "largest-emptied", "bit-flipped", "largest-gone"],
)
def test_a_damaged_newest_is_named_and_the_one_before_taken(saved, made, damage, capsys):
    damage(saved / "3")
    state, step, examples, _ = restored(saved, made[0])
    assert step == 2
    assert_same(state, made[1])
    assert examples == 32
    message = capsys.readouterr().err
    assert str(saved / "3") in message
    assert "falling back to the one before" in message


def test_one_that_another_process_cannot_read_is_left_by_all(saved, made, monkeypatch, capsys):
    """Each says whether it can: of the checksums, then of what is loaded, which takes all of them."""
    asked = []

    def anywhere(failed):
        asked.append(failed)
        return failed or len(asked) == 1

    monkeypatch.setattr(checkpoint.hosts, "anywhere", anywhere)
    found = checkpoint.restore(saved, made[0])
    assert found.step == 2
    assert asked == [False, False, False]
    assert "another process cannot read it" in capsys.readouterr().err


def test_when_all_are_damaged_nothing_is_begun_anew(saved, made):
    for step in (1, 2, 3):
        truncate_all(saved / f"{step}")
    with pytest.raises(UserError, match=r"none of the checkpoints \[1, 2, 3\] in .* can be read"):
        restored(saved, made[0])


def test_a_half_written_one_is_no_checkpoint(saved, made):
    finished = saved / "3"
    finished.rename(saved / "4.orbax-checkpoint-tmp")
    _, step, *_ = restored(saved, made[0])
    assert step == 2


def test_a_state_of_other_shapes_is_refused(saved):
    other = toys.setup(norm="none")[0]
    with pytest.raises(UserError, match=r"3 can be read, but .*\n  params/encoder/BatchNorm_0: there, not now"):
        restored(saved, other)


def contents(folder):
    return {p: (p.read_bytes() if p.is_file() else None, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def begun(folder, step):
    """A checkpoint that is being written, or that a killed run has left half written."""
    temporary = folder / f"{step}.orbax-checkpoint-tmp"
    shutil.copytree(folder / "3", temporary)
    (temporary / "commit_success.txt").unlink()
    return temporary


def test_reading_changes_nothing(saved, made):
    """Not what another process is about to save either, nor checksums that are not noted yet."""
    folder = saved / "in a run"
    folder.mkdir()
    for step in (1, 2, 3):
        (saved / f"{step}").rename(folder / f"{step}")
    begun(folder, 4)
    before = contents(saved)
    assert checkpoint.restore(folder, made[0]).step == 3
    assert contents(saved) == before
    assert checkpoint.restore(saved / "nowhere", made[0]) is None
    assert contents(saved) == before


def test_what_a_killed_run_has_left_half_written_goes_when_training_goes_on(saved, made):
    temporary = begun(saved, 4)
    with contextlib.closing(Checkpoints(saved)) as checkpoints:
        checkpoints.save(5, made[3], 80)
    assert not temporary.exists()
    assert checkpoint.finished(saved) == [2, 3, 5]


def test_one_that_is_dropped_while_it_is_read_gives_way_to_a_newer(saved, made, monkeypatch, capsys):
    load = ocp.load_checkpointables

    def dropped(path, *arguments):
        if pathlib.Path(path).name == "3":
            pathlib.Path(path).rename(saved / "7")
        return load(path, *arguments)

    monkeypatch.setattr(ocp, "load_checkpointables", dropped)
    found = checkpoint.restore(saved, made[0])
    assert found.step == 7
    assert_same(found.state, made[2])
    assert capsys.readouterr().err == ""


def test_one_that_was_written_over_is_as_good_as_new(saved, made, capsys):
    flip_a_bit(saved / "3")
    with contextlib.closing(Checkpoints(saved)) as checkpoints:
        assert checkpoints.restore(made[0]).step == 2
        checkpoints.save(3, made[3], 48)
    capsys.readouterr()
    found = restored(saved, made[0])
    assert found.step == 3
    assert_same(found.state, made[3])
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_is_named(made, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot write .*file"),
        contextlib.closing(Checkpoints(pathlib.Path(tmp_path / "file"))) as checkpoints,
    ):
        checkpoints.save(1, made[0], 16, wait=True)
