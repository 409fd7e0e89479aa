"""Checkpoints: what is saved comes back bit by bit, and damage costs one checkpoint at most."""

import contextlib
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mtljax.errors import UserError
from mtljax.train.checkpoint import Checkpoints
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


@pytest.fixture
def saved(made, tmp_path):
    """A folder with checkpoints of steps 1, 2 and 3, taken as a run takes them."""
    with contextlib.closing(Checkpoints(tmp_path, keep=3)) as checkpoints:
        for step, state in enumerate(made[:3], 1):
            checkpoints.save(step, state, 16 * step)
    return tmp_path


def restored(folder, template):
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        return checkpoints.restore(template)


def test_the_newest_comes_back_with_its_place_in_the_data(saved, made):
    state, step, examples = restored(saved, made[0])
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
    state, step, examples = restored(saved, made[0])
    assert step == 2
    assert_same(state, made[1])
    assert examples == 32
    message = capsys.readouterr().err
    assert str(saved / "3") in message
    assert "falling back to the one before" in message


def test_when_all_are_damaged_nothing_is_begun_anew(saved, made):
    for step in (1, 2, 3):
        truncate_all(saved / f"{step}")
    with pytest.raises(UserError, match=r"none of the checkpoints \[1, 2, 3\] in .* can be read"):
        restored(saved, made[0])


def test_a_half_written_one_is_no_checkpoint(saved, made):
    finished = saved / "3"
    finished.rename(saved / "4.orbax-checkpoint-tmp")
    _, step, _ = restored(saved, made[0])
    assert step == 2


def test_a_state_of_other_shapes_is_refused(saved):
    other = toys.setup(norm="none")[0]
    with pytest.raises(UserError, match="can be read"):
        restored(saved, other)


def test_a_folder_that_cannot_be_written_is_named(made, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot write .*file"),
        contextlib.closing(Checkpoints(pathlib.Path(tmp_path / "file"))) as checkpoints,
    ):
        checkpoints.save(1, made[0], 16, wait=True)
