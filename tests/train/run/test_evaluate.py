"""Evaluation: sums over batches and devices, divided once; the constant predictor; the table."""

import dataclasses
import json
import math
import signal
import types
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run import frozen_networks, loop
from mtljax.train.run.checkpoint import Restored
from mtljax.train.run.steps import Loop, Stopped
from mtljax.train.step.step import make_eval_step, make_predict_step
from tests.train import toys

BATCHES = [toys.batch(i) for i in range(3)]


def figures(batches, spread=train.mesh):
    spread = spread()
    step = spread.evaluate(make_eval_step(toys.model(), toys.TASKS, spread))
    variables = spread.place_state((toys.setup()[0].params, {}))
    return evaluation.evaluate(step, variables, batches, toys.TASKS, spread)


def test_figures_are_those_of_all_examples_pooled():
    found = figures(BATCHES)
    params = toys.setup()[0].params
    for name in toys.TASKS:
        error, valid = [], []
        for batch in BATCHES:
            prediction = toys.model().apply({"params": params}, jnp.asarray(batch["image"]))[name]
            error.append((prediction - batch[name]) ** 2 * batch[f"{name}_valid"])
            valid.append(batch[f"{name}_valid"])
        pooled = np.sum(error) / np.sum(valid)
        np.testing.assert_allclose(found[f"{name}/MSE"], pooled, rtol=1e-5)
        np.testing.assert_allclose(found[f"{name}/loss"], pooled, rtol=1e-5)


@pytest.mark.parametrize("spread", [train.pmap, train.mesh], ids=["pmap", "mesh"])
def test_predictions_are_returned_where_the_host_reads_them_alone(spread):
    """Of a task with a metric of the host's, and of those that are drawn."""
    judged = mtl.Task(**{**vars(toys.TASKS["b"]), "host_sums": lambda prediction, batch: {"total": prediction.sum()}})
    tasks, spread = {**toys.TASKS, "b": judged}, spread()
    variables = spread.place_state((toys.setup()[0].params, {}))
    batch = spread.place_batch(toys.batch())
    model = toys.model()
    for made, wanted in (
        (make_eval_step(model, toys.TASKS, spread), set()),
        (make_eval_step(model, tasks, spread), {"b"}),
        (make_predict_step(model, toys.TASKS, ["a", "c"]), {"a", "c"}),
    ):
        added, predictions = jax.eval_shape(spread.evaluate(made), variables, batch)
        assert set(predictions) == wanted
        assert set(added) in (set(tasks), set())
    found = spread.collect(spread.evaluate(make_predict_step(model, toys.TASKS, ["a", "c"]))(variables, batch)[1])
    expected = model.apply({"params": toys.setup()[0].params}, toys.batch()["image"])["c"]
    np.testing.assert_allclose(found["c"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spread", [train.pmap, lambda: train.mesh(data=1)], ids=["pmap", "one"])
def test_figures_do_not_depend_on_the_devices(spread):
    one, many = figures(BATCHES, spread), figures(BATCHES)
    assert one.keys() == many.keys()
    np.testing.assert_allclose([*one.values()], [*many.values()], rtol=1e-5)


def test_what_is_never_labelled_is_nan_and_null():
    found = figures([toys.batch(0, absent=("b",))])
    assert math.isnan(found["b/loss"])
    line = json.loads(loop.as_json({"b/loss": found["b/loss"], "a/loss": 1.5}))
    assert line == {"b/loss": None, "a/loss": 1.5}


def test_the_constant_predictor_is_measured_as_a_model_is():
    shapes = {name: (toys.BATCH, channels) for name, channels in toys.LABELS.items()}
    found = evaluation.evaluate_constant(BATCHES[0], BATCHES, toys.TASKS, shapes)
    constant = toys.TASKS["a"].constant(BATCHES[0])
    errors = [((constant - b["a"]) ** 2 * b["a_valid"]).sum() for b in BATCHES]
    np.testing.assert_allclose(found["a/MSE"], np.sum(errors) / sum(b["a_valid"].sum() for b in BATCHES), rtol=1e-5)


def test_the_table_says_which_is_better_and_in_which_direction():
    tasks = {"depth": mtl.tasks.depth(), "segment": mtl.tasks.segment(num_classes=2)}
    ours = {f"{name}/{m.name}": 0.4 for name, task in tasks.items() for m in task.metrics}
    theirs = {key: 0.5 for key in ours} | {"depth/RMSE": math.nan}
    ours["depth/delta2"] = math.nan
    rows = {tuple(line.split()[:2]): line for line in evaluation.table(tasks, ours, theirs).splitlines()[2:]}
    assert rows["depth", "AbsRel"].endswith("0.4000    0.5000  better")
    assert rows["depth", "delta1"].endswith("0.4000    0.5000  NOT better")
    assert rows["segment", "mIoU"].endswith("NOT better")
    assert rows["depth", "RMSE"].endswith("nan")
    assert rows["depth", "delta2"].endswith("nan    0.5000  NOT better")


def test_evaluation_looks_for_signals_between_examples():
    """What is done on the host takes a while: a signal is answered after the example at hand."""
    spread, asked, measured = train.mesh(data=1), [], []

    def host_sums(prediction, batch):
        assert len(prediction) == len(batch["image"]) == 1
        measured.append(prediction)
        return {"examples": np.ones(())}

    slow = dataclasses.replace(toys.TASKS["a"], host_sums=host_sums, one_by_one=True)
    tasks = toys.TASKS | {"a": slow}
    step = spread.evaluate(make_eval_step(toys.model(), tasks, spread))
    variables = spread.place_state((toys.setup()[0].params, {}))

    def between():
        asked.append(None)
        if len(measured) == 2:
            raise KeyError

    with pytest.raises(KeyError):
        evaluation.evaluate(step, variables, BATCHES, tasks, spread, between)
    assert (len(measured), len(asked)) == (2, 4)  # before a batch, and before each of three examples


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_that_comes_during_evaluation_saves_the_state_and_stops(number, status, monkeypatch):
    monkeypatch.setattr(frozen_networks, "without", lambda state: state)
    saved = []

    def evaluate(state, between):
        between()
        the_loop._ask_to_stop(number)
        between()
        raise AssertionError("the evaluation went on")

    spread = types.SimpleNamespace(to_disk=lambda state: state)
    config = types.SimpleNamespace(batch_size=4, dtype="float32", profile=(0, 0))
    parts = types.SimpleNamespace(config=config, spread=spread, tasks={})
    checkpoints = types.SimpleNamespace(save=lambda *args, wait: saved.append((*args, wait)))
    record = mock.MagicMock()
    the_loop = Loop(parts, "workdir", Restored("state", 0, 0), None, evaluate, None, checkpoints, None, record)
    with pytest.raises(Stopped) as stopped:
        the_loop._evaluate(7)
    assert stopped.value.code == status
    assert saved == [(7, "state", 28, True)]
