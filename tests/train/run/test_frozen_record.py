"""What a run notes of networks that stand still, and what it refuses; nothing is trained here."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.models.heads.frozen import Frozen
from mtljax.tasks.consistency.network import LabelNetwork
from mtljax.train.config.experiment import _network
from mtljax.train.run import frozen_networks

TREES = {2: {"params": {"a": np.arange(3.0)}}, 5: {"params": {"a": np.ones(3)}}}
ZEROS = {"heads_seen": {"variables": {"params": {"a": np.zeros(3)}}}}


@pytest.fixture
def network(tmp_path):
    for step in TREES:
        (tmp_path / "network" / "checkpoints" / str(step)).mkdir(parents=True)
    shapes = jax.eval_shape(lambda: TREES[2])
    return LabelNetwork(str(tmp_path / "network"), "depth", ("normals",), None, lambda: shapes)


def parts(network):
    task = types.SimpleNamespace(head=Frozen(network))
    return types.SimpleNamespace(tasks={"seen": task, "depth": types.SimpleNamespace(head=None)}, programs={})


def load(folder, step, trees=TREES):
    step = max(trees) if step is None else step
    return step, trees[step]


def test_the_newest_is_taken_first_and_that_one_from_then_on(network, tmp_path):
    run, first = tmp_path / "run", parts(network)
    found = frozen_networks.filled(first, ZEROS, run, load)
    np.testing.assert_array_equal(found["heads_seen"]["variables"]["params"]["a"], np.ones(3))
    frozen_networks.note(first, run)
    assert frozen_networks.known(run)["seen"][:2] == (network.workdir, 5)
    (tmp_path / "network" / "checkpoints" / "7").mkdir()
    later = {**TREES, 7: {"params": {"a": np.zeros(3)}}}
    found = frozen_networks.filled(parts(network), ZEROS, run, lambda f, s: load(f, s, later))
    np.testing.assert_array_equal(found["heads_seen"]["variables"]["params"]["a"], np.ones(3))


def test_a_workdir_may_be_told_from_the_home(network, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    from_home = dataclasses.replace(network, workdir="~/network")
    found = frozen_networks.filled(parts(from_home), ZEROS, None, load)
    np.testing.assert_array_equal(found["heads_seen"]["variables"]["params"]["a"], np.ones(3))
    with pytest.raises(UserError, match=rf"no config.json in '{tmp_path}/none'"):
        _network("~/none")


def test_one_that_changed_or_is_gone_is_refused(network, tmp_path):
    run, first = tmp_path / "run", parts(network)
    frozen_networks.filled(first, ZEROS, run, load)
    frozen_networks.note(first, run)
    changed = {5: {"params": {"a": np.array([1, 1, 2.0])}}}
    with pytest.raises(UserError, match=r"task 'seen': the frozen network '.*network' changed: at step 5 it has"):
        frozen_networks.filled(parts(network), ZEROS, run, lambda f, s: load(f, s, changed))
    (tmp_path / "network" / "checkpoints" / "5").rmdir()
    with pytest.raises(UserError, match=r"has no checkpoint of step 5 any more.*\(it has 2\)"):
        frozen_networks.filled(parts(network), ZEROS, run, load)


def test_one_of_another_shape_is_refused(network, tmp_path):
    other = {"heads_seen": {"variables": {"params": {"a": np.zeros(4)}}}}
    with pytest.raises(UserError, match=r"\['a'\] has shape \(3,\) in its checkpoint, but \(4,\) by its config"):
        frozen_networks.filled(parts(network), other, None, load)


def test_a_run_without_networks_notes_nothing_and_a_spoiled_record_is_told(tmp_path):
    frozen_networks.note(types.SimpleNamespace(tasks={}, programs={}), tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / frozen_networks.FILE).write_text("[")
    with pytest.raises(UserError, match="cannot read"):
        frozen_networks.known(tmp_path)
