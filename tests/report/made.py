"""Made comparisons for tests of reports."""

from mtljax.report import Comparison, Metric, Run

METRICS = (Metric("depth/AbsRel", False, primary=True), Metric("depth/delta1", True), Metric("parts/mIoU", True, True))


def record(seconds, flops):
    """What a run notes of itself, as far as tables show it."""
    return {
        "seconds": {"step_median": seconds, "step_p95": 2 * seconds},
        "memory": {"bytes": 1 << 30, "of": "process"},
        "flops": {"step": 3 * flops, "forward": flops},
        "parameters": 12,
    }


def joint(method, seed, absrel, delta1, miou, share=1.0):
    """A run of all tasks that is done."""
    figures = {"depth/AbsRel": absrel, "depth/delta1": delta1, "parts/mIoU": miou, "depth/loss": 2 * absrel}
    return Run(method, seed, share=share, step=9, figures=figures, record=record(0.3, 30.0))


def alone(seed, absrel, delta1, miou, share=1.0):
    """The runs of two single networks that are done."""
    return [
        Run("single", seed, "depth", share, step=9, figures={"depth/AbsRel": absrel, "depth/delta1": delta1}, record=record(0.2, 20.0)),
        Run("single", seed, "parts", share, step=9, figures={"parts/mIoU": miou}, record=record(0.2, 20.0)),
    ]  # fmt: skip


def comparison(*more, methods=("single", "equal()", "pcgrad()"), **changed):
    """Three methods and three seeds, one of which failed, and any further runs."""
    runs = [run for s in range(3) for run in alone(s, 0.2 + 0.01 * s, 0.9, 0.5)]
    runs += [joint("equal()", s, 0.25 + 0.01 * s, 0.8, 0.45 + 0.01 * s) for s in range(3)]
    runs += [joint("pcgrad()", s, 0.15 + 0.001 * s, 0.95, 0.55) for s in range(2)]
    runs += [Run("pcgrad()", 2, status="failed", message="loss of 'depth' is nan, 100 % of it", step=4)]
    return Comparison(METRICS, [*runs, *more], list(methods), **changed)
