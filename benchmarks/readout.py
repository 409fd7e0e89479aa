"""What a step of a readout costs beside one of the whole network, in XLA's FLOPs: it has no encoder. Nothing is timed.

python benchmarks/readout.py

Of every target of configs/relations.py: a step of its network from scratch, the encoder's forward pass within it, and
a step of its readout from the features of another task's encoder, which are computed once.
"""

import runpy
import tempfile
from pathlib import Path
from typing import Any

import jax
import machine

from mtljax.studies.comparison.plan import Job, config_of
from mtljax.studies.relate import plan
from mtljax.studies.relate.measures import Transfer
from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.config.seeded import noise_of
from mtljax.train.run import config_file
from mtljax.train.run.start import start
from mtljax.train.spread.program import flops_of

CONFIG = Path(__file__).parent.parent / "configs" / "relations.py"


def flops(study: plan.Study, job: Job) -> tuple[float, float]:
    """XLA's FLOPs of a job's training step, and of a forward pass of what its model makes features by."""
    parts = experiment.build(checked(config_of(study.config, job)))
    fitted = checks.fit(parts)
    batch = parts.spread.place_batch(next(parts.train_batches()))
    state: Any = start(parts, fitted)[0]
    parts.train_step(fitted.optimizer)
    step = parts.programs["train"].lower(state, batch, noise_of(0))

    def encode(params: Any, images: jax.Array) -> Any:
        return parts.model.apply({"params": params, **state.model_state}, images, method="encode")

    encoder = jax.jit(encode).lower(state.params, batch["image"].astype("float32"))
    return flops_of(step) or 0.0, flops_of(encoder) or 0.0


def main() -> None:
    """Prints the table."""
    config = checked(runpy.run_path(str(CONFIG))["get_config"]())
    print(machine.described())
    columns = ("target", "scratch", "its encoder", "readout", "its encoder", "ratio")
    print("  ".join(f"{column:>12}" for column in columns) + "  (MFLOP; encoders forward)")
    with tempfile.TemporaryDirectory() as folder:
        study = plan.Study(config, Path(folder), {"transfer": Transfer()}, (0,))
        source = plan.network(study, study.tasks[:1], 0)
        config_file.settle(checked(config_of(config, source)), study.workdir / source.folder, allow_change=False)
        for target in study.tasks[1:]:
            whole, encoder = flops(study, plan.scratch(study, target, 0))
            readout, none = flops(study, plan.readout(study, target, study.tasks[:1], 0, untrained=True))
            counts = [f"{count / 1e6:12.1f}" for count in (whole, encoder, readout, none)]
            print("  ".join([f"{target:>12}", *counts, f"{readout / whole:12.3f}"]), flush=True)


if __name__ == "__main__":
    main()
