"""What is concluded from runs: networks for a budget by every method, transfers, agreement; of made losses."""

import json
import math

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.relations import Network
from mtljax.relations.taxonomy import RANDOM, SELF
from mtljax.studies.relate import choices, conclude, last_layers, page, plan, transfers
from tests.studies.relate.made import TASKS, leave, leave_lookahead, leave_networks, study

EVEN = dict.fromkeys(TASKS, 1.0)
AFFINITY = [[0.0, 9.0, 1.0], [0.5, 0.0, 0.2], [0.3, 0.4, 0.0]]  # a helps b
COSINES = [[1.0, 0.6, 0.1], [0.6, 1.0, 0.2], [0.1, 0.2, 1.0]]


def loss_of(tasks, task, half):
    """b gains by a, c loses by others; halves are 10 % worse; all tasks have a scale of their own."""
    scale = {"a": 1.0, "b": 10.0, "c": 100.0}[task]
    gain = -0.3 * (task == "b" and "a" in tasks) + 0.2 * (task == "c") * (len(tasks) - 1)
    return scale * (1 + gain + 0.1 * half)


@pytest.fixture
def networks(tmp_path):
    made = study(tmp_path, "networks();lookahead()", seeds=(0, 1))
    leave_networks(made, loss_of)
    for seed in made.seeds:
        leave_lookahead(made, plan.lookahead(made, seed), AFFINITY, COSINES)
    return made


def test_methods_choose_what_losses_say(networks):
    chosen, curves, random = conclude._choices(networks, [1.0, 1.5, 2.0], EVEN, np.stack([AFFINITY] * 2))
    best = chosen[1.5][choices.OPTIMAL]
    assert (best.networks, best.cost) == (("c (0.5)", "a + b (1)"), 1.5)
    assert best.losses == pytest.approx({"a": 1.0, "b": 0.7, "c": 1.1})
    assert chosen[1.0][choices.TOGETHER].loss == pytest.approx(1 + 0.7 + 1.4)
    assert chosen[1.5][choices.ALONE].cost == 1.5
    assert chosen[1.5][choices.ALONE].loss == pytest.approx(3.3)
    assert choices.ALONE not in chosen[1.0]
    assert curves[choices.OPTIMAL][1.5] == pytest.approx([best.loss] * 2)
    mean, least, most = random[2.0]
    assert least <= mean <= most
    assert chosen[2.0][choices.OPTIMAL].loss == pytest.approx(least)


def test_groups_of_a_look_ahead_are_by_what_the_source_does_to_the_target(networks):
    groups = conclude._choices(networks, [2.0], EVEN, np.stack([AFFINITY] * 2))[0][2.0][choices.TAG]
    assert groups.networks == ("a + b (1)", "a + c (1)")
    assert groups.losses == pytest.approx({"a": 1.0, "b": 0.7, "c": 1.2})


def test_importance_moves_the_choice(networks):
    only_c = {"a": 0.0, "b": 0.0, "c": 1.0}
    one = conclude._choices(networks, [1.0], {"a": 1.0, "b": 1.0, "c": 0.1}, None)[0][1.0]
    assert one[choices.OPTIMAL].loss == pytest.approx(1 + 0.7 + 0.14)
    assert conclude._choices(networks, [2.0], only_c, None)[0][2.0][choices.OPTIMAL].losses["c"] == pytest.approx(1.0)


def test_early_losses_choose_and_those_of_the_end_judge(tmp_path):
    made = study(tmp_path, "networks()", tasks=("a", "b"))
    together = {"a": 0.5, "b": 0.5}
    for task in "ab":
        leave(made, plan.network(made, (task,), 0), {task: 1.0})
        leave(made, plan.half(made, task, 0), {task: 1.2}, early={task: 0.1})
    leave(made, plan.network(made, ("a", "b"), 0), together, early={"a": 2.0, "b": 2.0})
    chosen = conclude._choices(made, [1.0], {"a": 1.0, "b": 1.0}, None)[0][1.0]
    assert chosen[choices.OPTIMAL].loss == pytest.approx(1.0)
    assert chosen[choices.ESA].loss == pytest.approx(2.4)


def test_a_network_that_nobody_trained_has_no_loss():
    test = [Network({"a": 1.0}), Network({"b": 1.0})]
    found = choices.predicted([Network({"a": 1.0, "b": 1.0})], 1.0, test)
    assert found.losses is None
    assert math.isnan(found.loss)


def test_a_surrogate_of_linear_losses_predicts_sets_that_it_has_not_seen():
    tasks = ("a", "b", "c", "d")
    helps = np.random.default_rng(0).normal(size=(4, 4))

    def made(one):
        return Network({t: 5.0 + sum(helps[tasks.index(u), tasks.index(t)] for u in one if u != t) for t in one})

    sets = plan.all_sets(tasks)
    predicted = choices.fit_surrogate([made(one) for one in sets if len(one) < 3], tasks)
    assert [one.losses for one in predicted] == [pytest.approx(made(one).losses) for one in sets]


def test_the_surrogate_tells_its_error_where_it_was_fitted_and_elsewhere(tmp_path):
    made = study(tmp_path, "networks();surrogate(sets=2)")
    leave_networks(made, loss_of)
    chosen = {}
    fitted, unseen = conclude._surrogate(made, [1.5], EVEN, chosen)
    assert fitted == pytest.approx(0.0, abs=1e-9)
    assert unseen >= 0
    assert choices.SURROGATE in chosen[1.5]


@pytest.fixture
def transferred(tmp_path, monkeypatch):
    """Transfers of order 2 in which b serves all, c nobody, and two encoders are better than one."""
    monkeypatch.setattr(plan, "_shapes", lambda config: (((4,),), None))
    monkeypatch.setattr(plan, "_known", {})
    made = study(tmp_path, "transfer(order=2)")
    worth = {"a": 0.3, "b": 0.1, "c": 0.6}
    for seed in made.seeds:
        for target in TASKS:
            leave(made, plan.network(made, (target,), seed), {target: 1.0}, spread=0.0)
            leave(made, plan.scratch(made, target, seed), {target: 1.5}, spread=0.0)
            for source in TASKS:
                if source != target:
                    leave(made, plan.readout(made, target, [source], seed), {target: 1.0 + worth[source]}, spread=0.2)
            leave(made, plan.readout(made, target, ["a"], seed, untrained=True), {target: 2.0}, spread=0.2)
        for job in transfers.higher_jobs(made):
            target = job.method.split()[2]
            leave(made, job, {target: 1.05}, spread=0.2)
    return made


def test_transfers_are_ranked_by_images(transferred):
    found = transfers.measured(transferred)
    row = found.affinities["a"]
    assert sum(row.values()) == pytest.approx(1)
    assert row[(SELF,)] > row[("b",)] > row[("c",)] > row[(RANDOM,)]
    assert row[("b", "c")] > row[("b",)]
    assert found.gains["a"][("b",)] == 1.0
    assert found.gains["a"][(RANDOM,)] == 0.0
    assert found.qualities["c"][(SELF,)] == 0.5
    assert found.qualities["c"][("a",)] < 0.5
    assert found.losses["a"][("b",)] == pytest.approx(1.1)
    assert found.first[0][1, 0] > found.first[0][2, 0]  # b is a better source of a than c
    assert found.before.sum(axis=0).max() < 1


def test_a_budget_of_one_learns_the_task_that_serves_the_others(transferred):
    found = transfers.measured(transferred)
    chosen = transfers.taxonomies(found, [1.0, 3.0], EVEN)
    assert chosen[1.0].sources == ("b",)
    assert chosen[3.0].transfers == {task: max(row, key=row.get) for task, row in found.affinities.items()}
    assert transfers.worth(found, chosen[1.0]) == pytest.approx({"a": 1.1, "b": 1.0, "c": 1.1})


def test_images_without_a_label_are_left_out_and_told(transferred):
    file = transferred.workdir / plan.readout(transferred, "a", ["b"], 0).folder / "image_losses.json"
    content = json.loads(file.read_text())
    content["validation"]["losses"]["a"][:3] = [None] * 3
    file.write_text(json.dumps(content))
    found = transfers.measured(transferred)
    assert found.left_out == {"a": 3, "b": 0, "c": 0}
    assert "3 images of a" in "\n".join(page._about(conclude.conclude(transferred, [1.0], EVEN)))


def test_measures_are_held_against_each_other(networks):
    found = conclude.conclude(networks, [1.0, 2.0], EVEN)
    names = [(one.first, one.second) for one in found.agreements]
    assert names == [("pair gain", "look-ahead"), ("pair gain", "cosine"), ("look-ahead", "cosine")]
    np.testing.assert_array_equal(found.matrices["look-ahead"][1], AFFINITY)
    np.testing.assert_array_equal(found.matrices["cosine"][0], COSINES)
    gain = found.matrices["pair gain"].mean(axis=0)
    assert gain[0, 1] == pytest.approx((1.1 - 0.7) / 1.1)  # of b by a, over the half-size network
    assert all(one.relation.permutations == 6 for one in found.agreements)


def test_a_task_of_no_importance_has_gains_all_the_same(networks):
    even = conclude.conclude(networks, [1.0], EVEN).matrices["pair gain"]
    found = conclude.conclude(networks, [1.0], {"a": 0.0, "b": 2.0, "c": 1.0})
    np.testing.assert_allclose(found.matrices["pair gain"], even)


def test_what_has_no_correlation_says_so(networks):
    for seed in networks.seeds:
        leave_lookahead(networks, plan.lookahead(networks, seed), np.ones((3, 3)), COSINES)
    found = conclude.conclude(networks, [1.0], EVEN)
    assert found.agreements[0].relation is None
    assert "no correlation" in found.agreements[0].why


def test_a_loss_that_is_no_number_is_told(networks):
    file = networks.workdir / plan.network(networks, ("a", "b"), 0).folder / "image_losses.json"
    content = json.loads(file.read_text())
    content["validation"]["mean"]["b"] = None
    file.write_text(json.dumps(content))
    with pytest.raises(
        UserError, match=r"network of a \+ b, seed 0: its loss of 'b' on validation is no finite number"
    ):
        conclude.conclude(networks, [1.0], EVEN)


@pytest.mark.parametrize(("tasks", "loss"), [(("a", "b"), -0.5), (("b",), 0.0)])
def test_a_loss_that_nothing_is_a_share_of_is_told(networks, tasks, loss):
    file = networks.workdir / plan.network(networks, tasks, 1).folder / "image_losses.json"
    content = json.loads(file.read_text())
    content["test"]["mean"]["b"] = loss
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"seed 1: its loss of 'b' on test is {loss:g}; a study compares"):
        conclude.conclude(networks, [1.0], EVEN)


def test_without_an_affinity_of_every_pair_there_are_no_groups_and_all_else_stays(networks):
    affinity = np.stack([AFFINITY] * 2)
    affinity[1, 0, 2] = np.nan  # never in one batch
    chosen, curves, _ = conclude._choices(networks, [2.0], EVEN, affinity)
    assert choices.TAG not in chosen[2.0]
    assert len(curves[choices.TAG][2.0]) == 1
    assert choices.OPTIMAL in chosen[2.0]


def test_last_layers_of_the_shape_that_most_have_are_compared():
    layers = {"a": np.array([[1.0], [2.0]]), "b": np.ones((2, 5)), "c": np.array([[-1.0], [-2.0]])}
    tasks, found = last_layers.of_layers(layers)
    assert tasks == ("a", "c")
    assert found.correlation[0, 1] == pytest.approx(-1, abs=1e-3)
    with pytest.raises(UserError, match="wants last layers of one shape"):
        last_layers.of_layers({"a": np.ones(2), "b": np.ones(3)})


def test_the_last_layer_of_a_head_is_found_by_its_name_or_alone():
    kernel = np.ones((2, 3))
    assert last_layers.last_kernel({"Dense_0": {"kernel": kernel, "bias": kernel[0]}}, "a") is kernel
    two = {"conv": {"kernel": kernel + 1}, "predict": {"kernel": kernel}}
    assert last_layers.last_kernel(two, "a") is kernel
    with pytest.raises(UserError, match="last layer of the head of 'a' is not known"):
        last_layers.last_kernel({"one": {"kernel": kernel}, "two": {"kernel": kernel}}, "a")
