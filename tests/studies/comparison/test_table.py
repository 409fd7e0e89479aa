"""The table of a comparison: means, their errors, gains over networks of single tasks."""

import json

import numpy as np
import pytest

from mtljax.studies.comparison.table import gain_over, table


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
