"""Rows that tasks give of each batch: the same tables on any number of devices and hosts, and what baselines make."""

import dataclasses

import jax
import numpy as np
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.errors import UserError
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run.rows import Tables, places
from mtljax.train.step.step import make_eval_step
from tests.train import toys

SPLIT = 3 * toys.BATCH - 5  # the last examples only fill up the last batch


def batches(shard=(0, 1)):
    """What a host reads of the split: examples in turns."""
    index, count = shard
    whole = [toys.batch(i) for i in range(3)]
    columns = {key: np.concatenate([batch[key] for batch in whole])[index::count] for key in whole[0]}
    columns["example_valid"] = (np.arange(3 * toys.BATCH) < SPLIT)[index::count]
    size = toys.BATCH // count
    return [{key: x[i * size : (i + 1) * size] for key, x in columns.items()} for i in range(3)]


def decode(prediction, batch):
    return {"twice": 2 * prediction}


def host_rows(decoded, batch):
    """As many rows of an example as its place says, modulo 3."""
    number = batch["place"] % 3
    values = np.repeat(np.round(decoded["twice"][:, 0], 3), number)
    return {"found": {"place": np.repeat(batch["place"], number), "value": values}, "all": {"place": batch["place"]}}


class Seen(dict):
    """Keeps the tables that figures were made of."""

    def __call__(self, tables):
        self.update(tables)
        return {"rows": float(len(tables["found"]["value"])), "sum": float(tables["found"]["value"].sum())}


def judged(seen):
    own = (mtl.Metric("rows", True, lambda s: s["rows"]), mtl.Metric("sum", True, lambda s: s["sum"]))
    return dataclasses.replace(
        toys.TASKS["b"], decode=decode, host_rows=host_rows, figures=seen, metrics=own,
        sums=lambda decoded, batch: {"total": decoded["twice"].sum()},
    )  # fmt: skip


def evaluated(spread, instead=None):
    seen = Seen()
    tasks, spread = {**toys.TASKS, "b": judged(seen)}, spread()
    step = spread.evaluate(make_eval_step(toys.model(), tasks, spread))
    variables = spread.place_state((toys.setup()[0].params, {}))
    return evaluation.evaluate(step, variables, batches(), tasks, spread, instead=instead), seen


@pytest.fixture(scope="module")
def one():
    return evaluated(lambda: train.mesh(data=1))


@pytest.mark.parametrize("spread", [train.pmap, train.mesh], ids=["pmap", "mesh"])
def test_rows_are_the_same_on_any_number_of_devices(one, spread):
    found, tables = evaluated(spread)
    assert found["b/rows"] == sum(i % 3 for i in range(SPLIT))  # none of those that fill up a batch
    jax.tree.map(np.testing.assert_array_equal, dict(tables), dict(one[1]))
    assert found["b/sum"] == one[0]["b/sum"]


def test_rows_are_in_the_order_of_the_split_however_many_hosts_read_it(one):
    """Two hosts read in turns; each gathers its own rows, which are then put together."""
    model, params = toys.model(), toys.setup()[0].params
    halves, seen = [], Seen()
    for index in range(2):
        gathered = evaluation.Accumulator({"b": judged(seen)})
        for i, batch in enumerate(batches((index, 2))):
            decoded = {"b": decode(np.asarray(model.apply({"params": params}, batch["image"])["b"]), batch)}
            batch["place"] = places(i, toys.BATCH // 2, (index, 2))
            gathered.add({"b": {"total": 0.0, "count": 0.0, "sums": {}}}, decoded, batch)
        halves.append(gathered)
    kept = []
    halves[1].figures(joined=lambda tree: kept.append(tree) or tree)
    together = lambda tree: jax.tree.map(lambda a, b: np.concatenate([a, b]), tree, kept[0])  # noqa: E731
    halves[0].figures(joined=together)
    assert list(seen["all"]["place"]) == list(range(SPLIT))
    np.testing.assert_array_equal(seen["found"]["place"], one[1]["found"]["place"])
    np.testing.assert_allclose(seen["found"]["value"], one[1]["found"]["value"], atol=2e-3)


def test_a_host_without_examples_joins_tables_without_rows():
    """Else hosts would wait for each other: some with tables to join, some with none."""
    task, kept = judged(Seen()), []
    tables = Tables(task)
    batch = {
        **next(iter(batches())),
        "place": np.arange(1, 1 + toys.BATCH),
        "example_valid": np.zeros(toys.BATCH, bool),
    }
    tables.add({"twice": np.zeros((toys.BATCH, 2), np.float32)}, batch)
    tables.figures(lambda tree: kept.append(tree) or tree)
    assert kept[0].keys() == {"all", "found"}
    assert {len(column) for columns in kept[0].values() for column in columns.values()} == {0}


def test_a_baseline_predicts_from_what_the_model_has_found(one):
    """Its metrics are those of rows and sums made of its prediction; it has no loss."""
    baseline = lambda predictions, batch: {"twice": 0 * predictions["b"]["twice"] + 1}  # noqa: E731
    found, _ = evaluated(lambda: train.mesh(data=1), instead={"b": baseline})
    assert found == {"b/rows": one[0]["b/rows"], "b/sum": one[0]["b/rows"]}


def test_columns_of_different_lengths_are_refused():
    task = dataclasses.replace(judged(Seen()), host_rows=lambda p, b: {"t": {"a": np.zeros(2), "b": np.zeros(3)}})
    batch = {"image": np.zeros((1, 6)), "place": np.zeros(1, int)}
    with pytest.raises(UserError, match="task 'b': the columns of its rows 't' have lengths a 2, b 3"):
        evaluation.Accumulator({"b": task}).add({}, {"b": np.zeros((1, 1))}, batch)
