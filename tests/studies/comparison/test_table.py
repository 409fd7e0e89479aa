"""A comparison of balancers: what it trains, what it leaves, how it goes on after a stop."""

import json

import numpy as np
import pytest

from configs import toy
from mtljax import studies
from mtljax.errors import UserError
from mtljax.studies.compare import gain_over, table
from mtljax.train import default_config
from mtljax.train.run import loop
from mtljax.train.run.workdir import sole_use
from tests.data.sources.test_multi_mnist import write

METHODS = "single; upgrad()"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder of twelve made digits."""
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    return write(tmp_path_factory.mktemp("digits") / "mnist", "train", images, (np.arange(12) % 10).astype(np.uint8))


def config(digits, **changes):
    made = default_config()
    made.data = f"multi_mnist({digits!r})"
    made.model = "MultiTask(encoder=MLP([4]))"
    made.tasks = {side: f"classify(num_classes=10, label='{side}')" for side in ("left", "right")}
    made.optimizers = {group: "adam(1e-2)" for group in ("shared", "left", "right")}
    made.batch_size, made.steps, made.panel_images = 8, 3, 0
    made.update(changes)
    return made


@pytest.fixture(scope="module")
def compared(digits, tmp_path_factory):
    """A comparison that was stopped before its third run, and went on; runs of the second seed are made up."""
    workdir = tmp_path_factory.mktemp("compared")
    trained, train = [], loop.train

    def stopping(config, workdir, **kwargs):
        trained.append((workdir.relative_to(base).as_posix(), config.balance, config.seed, tuple(config.tasks)))
        if len(trained) == 3:
            raise loop.Stopped(0)
        if config.seed == 0:
            return train(config, workdir, **kwargs)
        return {f"{task}/{figure}": 0.25 for task in config.tasks for figure in ("loss", "accuracy")}

    base = workdir / "c"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", stopping)
        with pytest.raises(loop.Stopped):
            studies.compare(config(digits), base, METHODS, seeds=2)
        studies.compare(config(digits), base, METHODS, seeds=2)
    return base, trained


def test_every_method_and_seed_is_trained_once(compared):
    _, trained = compared
    once = [run for i, run in enumerate(trained) if i != 2]
    assert trained[2] == trained[3]  # the stopped one
    assert once == [
        ("single/left/seed-0", "equal()", 0, ("left",)),
        ("single/right/seed-0", "equal()", 0, ("right",)),
        ("upgrad/seed-0", "upgrad()", 0, ("left", "right")),
        ("single/left/seed-1", "equal()", 1, ("left",)),
        ("single/right/seed-1", "equal()", 1, ("right",)),
        ("upgrad/seed-1", "upgrad()", 1, ("left", "right")),
    ]


def test_figures_are_those_of_the_runs(compared):
    base, trained = compared
    found = json.loads((base / "compare.json").read_text())
    for folder, method, seed, tasks in trained:
        if seed:
            assert found["single" if folder.startswith("single") else method]["1"][f"{tasks[0]}/loss"] == 0.25
            continue
        lines = [json.loads(line) for line in (base / folder / "metrics.jsonl").read_text().splitlines()]
        [validation] = [line for line in lines if line["split"] == "validation"]
        name = "single" if folder.startswith("single") else method
        for task in tasks:
            assert found[name][str(seed)][f"{task}/loss"] == pytest.approx(validation[f"{task}/loss"])
    assert found["upgrad()"]["0"]["left/loss"] != found["upgrad()"]["1"]["left/loss"]


def test_the_table_is_mean_and_standard_error(compared):
    base, _ = compared
    found = json.loads((base / "compare.json").read_text())
    lines = (base / "compare.md").read_text().splitlines()
    assert lines[0].startswith("| method | seeds | left accuracy (up) | right accuracy (up) | gain over single")
    values = [run["left/accuracy"] for run in found["upgrad()"].values()]
    error = abs(values[0] - values[1]) / 2
    assert f"| `upgrad()` | 2 | {np.mean(values):.4f} ± {error:.4f} |" in lines[3]


def test_gains_are_relative_to_single_tasks_and_up_is_good():
    runs = {"single": {"0": {"a": 2.0, "b": 0.5}}, "x()": {"0": {"a": 1.0, "b": 0.75}}}
    primary = {"a": ("a (down)", False), "b": ("b (up)", True)}
    text = table(runs, primary, ["single", "x()"])
    assert text.splitlines()[-1] == "| `x()` | 1 | 1.0000 | 0.7500 | 50.00 |"
    assert text.splitlines()[0].endswith("| gain over single, % (up; -delta_m) |")
    same = table({"single": runs["single"], "y()": runs["single"]}, primary, ["single", "y()"])
    assert same.splitlines()[-1].endswith("| 0.00 |")


def by_seed(values, start=0):
    return {str(seed): dict(zip("ab", row, strict=True)) for seed, row in enumerate(values, start)}


UP_DOWN = {"a": ("a (up)", True), "b": ("b (down)", False)}
ALONE = [(0.5, 2.0), (0.6, 3.0), (0.4, 2.5)]
METHOD = [(0.4, 2.2), (0.5, 3.1), (0.3, 2.9)]


def test_errors_of_gains_hold_the_baselines_own():
    paired = [100 * ((m[0] - s[0]) / s[0] + (s[1] - m[1]) / s[1]) / 2 for m, s in zip(METHOD, ALONE, strict=True)]
    base = np.mean(ALONE, 0)
    mean = np.mean([100 * ((m[0] - base[0]) / base[0] + (base[1] - m[1]) / base[1]) / 2 for m in METHOD])
    found = gain_over(by_seed(METHOD), by_seed(ALONE), UP_DOWN)
    assert found == pytest.approx((mean, np.std(paired, ddof=1) / 3**0.5))
    text = table({"single": by_seed(ALONE), "x()": by_seed(METHOD)}, UP_DOWN, ["single", "x()"])
    assert text.splitlines()[-1].endswith(f" {mean:.2f} ± {found[1]:.2f} |")


def test_a_baseline_of_other_seeds_is_propagated():
    error = gain_over(by_seed(METHOD), by_seed(ALONE, start=7), UP_DOWN)[1]
    base, mean = np.mean(ALONE, 0), np.mean(METHOD, 0)
    gains = [[((m[0] - s[0]) / s[0] + (s[1] - m[1]) / s[1]) / 2 for m, s in pairs]
             for pairs in ([(m, base) for m in METHOD], [(mean, s) for s in ALONE])]  # fmt: skip
    assert error == pytest.approx(100 * np.sqrt(sum(np.var(g, ddof=1) / 3 for g in gains)))
    more = gain_over(by_seed(METHOD), by_seed([*ALONE, (0.5, 2.6)]), UP_DOWN)[1]
    assert more > 0
    steady = gain_over(by_seed(METHOD), by_seed([base] * 3, start=7), UP_DOWN)[1]
    assert 0 < steady < error


def test_of_one_seed_there_is_no_error():
    assert gain_over(by_seed(METHOD[:1]), by_seed(ALONE), UP_DOWN)[1] is None
    assert gain_over(by_seed(METHOD), by_seed(ALONE[:1]), UP_DOWN)[1] is None


def test_gains_of_the_golden_comparison(shared):
    golden = json.loads((shared / "golden/relations/small.json").read_text())["seeds"]
    keys = list(golden["metrics"])
    primary = {key: ("", golden["metrics"][key]) for key in keys if key != "segment/accuracy"}
    runs = {
        method: {str(i): dict(zip(keys, row, strict=True)) for i, row in enumerate(rows)}
        for method, rows in golden["runs"].items()
    }
    for method in ("equal()", "pcgrad()", "cagrad(c=0.4)"):
        for task, key in (("depth", "depth/AbsRel"), ("normals", "normals/mean")):
            gain, error = gain_over(runs[method], runs["single"], {key: primary[key]})
            assert gain == pytest.approx(-golden["transfer"][method][task]["worse_by"], rel=1e-6)
            ratios = [run[key] / runs["single"][seed][key] for seed, run in runs[method].items()]
            assert error == pytest.approx(100 * np.std(ratios, ddof=1) / np.sqrt(len(ratios)))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (" ; ", "--methods is empty"),
        ("equal();pcgrat()", "unknown balancer 'pcgrat'; did you mean 'pcgrad'"),
        ("equal();equal()", r"names 'equal\(\)' twice"),
        ("equal();cagrad(c=-1)", "c=-1"),
    ],
)
def test_misuse_is_told_before_anything_is_trained(digits, tmp_path, methods, message):
    with pytest.raises(UserError, match=message):
        studies.compare(config(digits), tmp_path / "c", methods, seeds=1)
    assert not (tmp_path / "c").exists()


def test_another_config_in_the_workdir_is_refused(compared, digits):
    base, _ = compared
    with pytest.raises(UserError, match="steps: 3 there, 4 now"):
        studies.compare(config(digits, steps=4), base, METHODS, seeds=2)


def test_a_comparison_and_a_study_hold_their_workdir_alone(digits, tmp_path):
    with sole_use(tmp_path):
        with pytest.raises(UserError, match="in use by another run"):
            studies.compare(config(digits), tmp_path, METHODS, seeds=1)
        with pytest.raises(UserError, match="in use by another run"):
            studies.run(toy.get_config(), tmp_path)
    assert list(tmp_path.iterdir()) == []
