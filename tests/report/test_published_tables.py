"""Tables that papers print, read in as runs: every printed delta_m and mean rank, or the stated slip in print."""

import json

import numpy as np
import pytest

from mtljax import report

SLIPS = {(f"nyuv2/{paper}", "IMTL-G") for paper in ("nash_mtl", "famo", "ntkmtl")}


@pytest.fixture(scope="module")
def printed(shared):
    return json.loads((shared / "golden" / "relations" / "published_tables.json").read_text())


def as_runs(table):
    """Results of one seed, and directions, of a printed table."""
    names = [f"{task}/{name}" for task, name in zip(table["task_of_metric"], table["metrics"], strict=True)]
    return (
        {method: {0: dict(zip(names, row, strict=True))} for method, row in table["rows"].items()},
        dict(zip(names, table["higher_is_better"], strict=True)),
    )


def delta_m(runs, metrics):
    return {method: s.mean for method, s in report.delta_m_table(runs, metrics, "STL", "metrics").items()}


def unit(values):
    """One in the last digit that any of some printed figures has."""
    return 10.0 ** -max(len(repr(float(value)).partition(".")[2]) for value in values if value != int(value))


def moved(runs, metrics, towards):
    """The same runs, every figure as much worse (1) or better (-1) as its rounding hides, the baseline the other way."""
    half = {metric: unit([seeds[0][metric] for seeds in runs.values()]) / 2 for metric in metrics}
    return {
        method: {
            0: {
                metric: seeds[0][metric]
                + (-1 if metrics[metric] else 1) * towards * half[metric] * (1, -1)[method == "STL"]
                for metric in metrics
            }
        }
        for method, seeds in runs.items()
    }


def test_every_printed_delta_m_follows_but_for_one_slip(printed):
    equal, within, slips = set(), set(), set()
    for name, table in printed["tables"].items():
        runs, metrics = as_runs(table)
        found = delta_m(runs, metrics)
        best, worst = (delta_m(moved(runs, metrics, towards), metrics) for towards in (-1, 1))
        digit = unit([row["delta_m"] for row in table["published"].values()])
        for method, row in table["published"].items():
            np.testing.assert_allclose(found[method], table["delta_m"][method], rtol=0, atol=1e-9)
            if abs(found[method] - row["delta_m"]) <= digit / 2:
                equal.add((name, method))
            elif best[method] - digit / 2 <= row["delta_m"] <= worst[method] + digit / 2:
                within.add((name, method))
            else:
                slips.add((name, method))
    assert slips == SLIPS
    assert (len(equal), len(within)) == (55, 65)
    checked = {(name, m): said for name, t in printed["tables"].items() for m, said in t.get("check", {}).get("delta_m", {}).items()}  # fmt: skip
    assert {key for key, said in checked.items() if said == "equal"} == equal - {("celeba/fairgrad", "FairGrad")}
    assert {key for key, said in checked.items() if said == "DIFFERS"} == slips


def test_further_digits_of_a_baseline_are_taken(printed):
    followed = []
    for table in printed["tables"].values():
        if "baseline_with_more_digits" in table:
            further = table["baseline_with_more_digits"]["figures"]
            found = delta_m(*as_runs(table | {"rows": table["rows"] | {"STL": further}}))
            for method, golden in table["delta_m_with_more_digits"].items():
                np.testing.assert_allclose(found[method], golden, rtol=0, atol=1e-9)
                if "further digits" in table["check"]["delta_m"][method]:
                    followed.append(round(found[method], 1) == table["published"][method]["delta_m"])
    assert followed == [True]


def mean_ranks(table):
    return {method: rank.of_means for method, rank in report.mean_rank(*as_runs(table), baseline="STL").items()}


def close(found, golden, room=1e-9):
    assert found.keys() == golden.keys()
    for method, value in golden.items():
        np.testing.assert_allclose(found[method], value, rtol=0, atol=room, err_msg=method)


def test_mean_ranks_with_ties_averaged(printed):
    tables = printed["tables"]
    for table in tables.values():
        if "mean_rank" in table:
            close(mean_ranks(table), table["mean_rank"]["average"])
    famo = {method: row["mean_rank"] for method, row in tables["nyuv2/famo"]["published"].items()}
    close(mean_ranks(tables["nyuv2/famo"]), famo, room=0.005)
    assert len(famo) == 12


def test_mean_ranks_follow_once_slips_in_print_are_put_right(printed):
    tables, errata = printed["tables"], printed["errata"]
    famo = tables["cityscapes/famo"]
    right = famo | {"rows": famo["rows"] | {"LS": tables["cityscapes/nash_mtl"]["rows"]["LS"]}}
    close(mean_ranks(right), errata["cityscapes/famo, LS"]["mean_rank"]["average"])
    famo = tables["qm9/famo"]
    right = famo | {"rows": tables["qm9/nash_mtl"]["rows"] | {"FAMO": famo["rows"]["FAMO"]}}
    less_1 = {method: rank - 1 for method, rank in mean_ranks(right).items()}
    close(less_1, errata["qm9/famo, mean rank"]["mean_rank_less_1"]["average"])
