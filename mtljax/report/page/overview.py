"""The sections of what was compared, and of what has become of every run."""

import datetime
import json
import pathlib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mtljax.report.files import load
from mtljax.report.page.blocks import (
    BAD,
    GOOD,
    QUIET,
    Cell,
    Code,
    Facts,
    Heading,
    Section,
    Table,
    Text,
    duration,
    number,
)
from mtljax.report.page.context import BROKEN, Context, recorded
from mtljax.report.reading.folders import CONFIG, RECORD, flat
from mtljax.report.runs import Run

_FIRST = ("data", "model", "steps", "batch_size")  # of the config, what is told at once
_STATUS = {"done": GOOD, "failed": BAD, "killed": BAD, "waiting": QUIET}


def compared(context: Context) -> Section:
    """What was compared: config, the key that varies, seeds, devices, versions, commit, commands that repeat it."""
    comparison, runs = context.comparison, context.comparison.runs
    records = [run.record for run in runs if run.record]
    config = _config(context)
    facts = [("varied", comparison.vary), ("methods", ", ".join(comparison.methods))]
    facts += [("baseline", comparison.baseline or "none"), ("seeds", _listed({run.seed for run in runs}))]
    shares = {run.share for run in runs}
    facts += [("shares of the training examples", _listed(shares))] if shares != {1.0} else []
    facts += [("tasks", ", ".join(context.tasks) or "not told yet")]
    facts += [(key.replace("_", " "), str(config[key])) for key in _FIRST if key in config and key != comparison.vary]
    facts += environment(records)
    facts += [("runs", _counted(runs))]
    blocks = [Facts([(name, value) for name, value in facts if value])]
    if config:
        blocks.append(Facts([(key, _written(value)) for key, value in config.items()], "The whole config"))
    return Section("compared", "What was compared", "", [*blocks, Code(commands(context), "Again, or with more:")])


def environment(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Devices, versions, commit and when: of all records, each value once."""
    devices = (record.get("devices") or {} for record in records)
    versions = (record.get("versions") or {} for record in records)
    began = [float(record["began"]) for record in records if record.get("began")]
    ended = [float(record["ended"]) for record in records if record.get("ended")]
    return [
        ("devices", _distinct(f"{one['number']} × {one['kind']}" for one in devices if "kind" in one)),
        ("versions", _distinct(", ".join(f"{name} {version}" for name, version in one.items()) for one in versions)),
        ("commit", _distinct(str(record.get("commit") or "") for record in records)),
        ("began", _time(min(began)) if began else ""),
        ("ended", _time(max(ended)) if ended else ""),
    ]


def commands(context: Context) -> str:
    """The commands that go on with a comparison and write its page again."""
    comparison = context.comparison
    if len(context.workdirs) != 1 or not _is_comparison(context.workdirs[0]):
        joined = shlex.quote(";".join(map(str, context.workdirs)))
        return f"python launch.py --mode=report --workdirs={joined} --workdir=WHERE"
    workdir, seeds = shlex.quote(str(context.workdirs[0])), len({run.seed for run in comparison.runs})
    parts = [f"python launch.py --workdir={workdir} --mode=compare"]
    parts += [f"--methods={shlex.quote(';'.join(comparison.methods))} --seeds={seeds}"]
    parts += [f"--vary={comparison.vary}"] if comparison.vary != "balance" else []
    shares = sorted({run.share for run in comparison.runs})
    parts += [f"--shares='{';'.join(f'{share:g}' for share in shares)}'"] if shares != [1.0] else []
    return f"{' '.join(parts)}\npython launch.py --workdir={workdir} --mode=report"


def _is_comparison(workdir: pathlib.Path) -> bool:
    return (workdir / CONFIG).is_file() and not (workdir / RECORD).exists()


def runs(context: Context) -> Section:
    """The status of every run, with why and where it failed."""
    comparison = context.comparison
    columns = [
        "method",
        "seed",
        "task",
        "share",
        "status",
        "step",
        "training",
        "seconds a step",
        "message",
        "last losses",
    ]
    shares = {run.share for run in comparison.runs} != {1.0}
    tasks = any(run.task for run in comparison.runs)
    keep = [name for name in columns if (name != "share" or shares) and (name != "task" or tasks)]
    rows = []
    for run in comparison.runs:
        cells = dict(zip(columns, run_row(run), strict=True))
        rows.append([cells[name] for name in keep])
    table = Table("Every run", [Heading(name) for name in keep], rows, ["Seconds a step: the median."])
    failed = sum(run.status in BROKEN for run in comparison.runs)
    told = [f"{failed} of {len(rows)} runs failed or were killed; their figures are in no table."] if failed else []
    return Section("runs", "Runs", _counted(comparison.runs) + ".", [*([Text(told)] if told else []), table])


def run_row(run: Run) -> list[Cell]:
    """What has become of a run."""
    losses = run.record.get("losses") or {}
    at = run.record.get("losses_step")
    told = ", ".join(f"{task} {number(value).text}" for task, value in losses.items()) if run.status != "done" else ""
    return [
        Cell(run.method, run.method),
        Cell(str(run.seed), float(run.seed)),
        Cell(run.task or "all", run.task or ""),
        Cell(f"{run.share:g}", run.share),
        Cell(run.status, run.status, _STATUS.get(run.status, "")),
        Cell(f"{run.step:,}", float(run.step)),
        duration(recorded(run, "seconds", "training")),
        duration(recorded(run, "seconds", "step_median")),
        Cell(run.message, run.message),
        Cell(f"{told} (step {at})" if told and at is not None else told, None, QUIET),
    ]


def _config(context: Context) -> dict[str, Any]:
    """The config that all share: of the comparison, else of the first run, without what differs between runs."""
    for folder in (*context.workdirs, *(run.folder for run in context.comparison.runs if run.folder and not run.task)):
        found = flat(load(folder / CONFIG))
        if found:
            return {
                key: value for key, value in found.items() if key not in (*context.comparison.vary.split(","), "seed")
            }
    return {}


def _counted(runs: Sequence[Run]) -> str:
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    return f"{len(runs)} runs: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values))


def _distinct(values: Iterable[str]) -> str:
    return "; ".join({value: None for value in values if value})


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def config_facts(found: Mapping[str, Any], keep: Callable[[str], bool] = lambda key: True) -> Facts:
    """A config, folded."""
    return Facts([(key, _written(value)) for key, value in found.items() if keep(key)], "The whole config")
