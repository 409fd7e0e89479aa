"""The modes and flags of the command line, and which go together."""

import types
from collections.abc import Mapping
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from mtljax.errors import UserError, unknown

MODES: Mapping[str, str] = types.MappingProxyType(
    {
        "train": "Train what --config names, or go on with the run of --workdir.",
        "eval": "Print the figures of the newest (or best) --checkpoint of --workdir as JSON.",
        "predict": "Predict for --images with the newest checkpoint of --workdir.",
        "export": "Write the network of --workdir for JAX or ONNX, with a model card.",
        "compare": "Train with each of --methods, --seeds times, and write one page about it.",
        "relate": "Measure by --relations which tasks help which, and what to train together.",
        "report": "Write the page of a run, of a comparison or of --workdirs again.",
    }
)

GIVEN: list[str] = []  # the arguments, without flags of tasks: of these config_flags knows nothing
CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file, or the name of one that is shipped; its keys are flags: --config.steps=100.",
    sys_argv=GIVEN,
)
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run leaves everything; default: a new folder in runs/.")
MODE = flags.DEFINE_string("mode", "train", "What is done: " + ", ".join(MODES) + ".")
LIST = flags.DEFINE_string("list", None, "Print what may stand in a config: balancers, tasks, encoders, data, ...")
SIMULATE_DEVICES = flags.DEFINE_integer("simulate_devices", None, "Run on this many simulated CPU devices.", 1)
CACHE = flags.DEFINE_string(
    "compilation_cache", None, "Folder of compiled programs for later runs; '' for none; default: the user's cache."
)
QUICKLY = flags.DEFINE_bool(
    "compile_quickly",
    False,
    "Compile for the CPU in half the time, to code that may take a fifth longer: for short runs.",
)
ALLOW_CHANGE = flags.DEFINE_bool("allow_config_change", False, "Go on in a workdir whose config differs.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "Several hosts: host:port of the first, the same on all.")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Several hosts: how many.", 1)
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Several hosts: which this one is, from 0.", 0)

METHODS = flags.DEFINE_string("methods", None, "Balancers to compare, ; between them; `single`: a network a task.")
VARY = flags.DEFINE_string(
    "vary",
    None,
    "Config key that --methods are values of: balance (the default), model, batch_size, ...; or several, as in "
    "--vary=balance,measure --methods='equal()|shared;pcgrad()|features'.",
)
SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each of --methods, from config.seed on.", 1)
SHARES = flags.DEFINE_string("shares", None, "Shares of the training examples to compare with: '0.1;0.25;0.5;1'.")
JOBS = flags.DEFINE_integer("jobs", None, "Child processes that train at once (1); 0: this one trains.", 0)
DEVICES_PER_JOB = flags.DEFINE_integer("devices_per_job", None, "Devices of each of --jobs; default: all.", 1)
JOB = flags.DEFINE_string("job", None, "Train a part of the runs, such as the third sixteenth, 3/16.")
RETRY_FAILED = flags.DEFINE_bool("retry_failed", False, "Try again what diverged or was killed.")
BASELINE = flags.DEFINE_string("baseline", None, "Method that the others are held against; default: single.")
METRICS = flags.DEFINE_string("metrics", None, "Metrics in tables, ; between them: 'depth/AbsRel;normals/mean'.")
WORKDIRS = flags.DEFINE_string("workdirs", None, "Runs and comparisons, ; between them, on one page.")
RELATIONS = flags.DEFINE_string("relations", None, "Measures, ; between them: 'transfer(order=2);networks()'.")
BUDGETS = flags.DEFINE_string("budgets", None, "FLOPs over those of one network, ; between them: '1;1.5;2;3'.")
IMPORTANCE = flags.DEFINE_string("importance", None, "Of tasks, ; between them: 'depth=2;edges=0.5'.")
YES = flags.DEFINE_bool("yes", False, "Train as many networks as all sets of eight tasks or more want.")
IMAGES = flags.DEFINE_string("images", None, "JPEG and PNG files or folders, ; between them: 'photos/*.jpg'.")
OUT = flags.DEFINE_string("out", None, "Folder; default: predictions or exported in --workdir.")
FORMAT = flags.DEFINE_enum("format", None, ["stablehlo", "onnx"], "For JAX or for ONNX; default: stablehlo.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "newest", "Of --workdir: newest, or the best by config.keep_best.")
TASKS = flags.DEFINE_string("tasks", None, "Tasks, ',' between them; default: all.")
WORKER = flags.DEFINE_bool("worker", False, "Of child processes alone: train what standard input names.")

# Modes -> the flags that mean something in them alone.
ONLY_WITH: Mapping[tuple[str, ...], tuple[flags.FlagHolder[Any], ...]] = types.MappingProxyType(
    {
        ("compare",): (VARY, SHARES, JOB),
        ("compare", "relate"): (SEEDS, JOBS, DEVICES_PER_JOB, RETRY_FAILED),
        ("relate",): (RELATIONS, BUDGETS, IMPORTANCE, YES),
        ("compare", "report"): (METHODS, BASELINE, METRICS),
        ("report",): (WORKDIRS,),
        ("predict",): (IMAGES,),
        ("export",): (FORMAT,),
        ("predict", "export"): (OUT, TASKS),
        ("eval", "predict", "export"): (CHECKPOINT,),
    }
)
_EXAMPLES = {
    "compare": "--mode=compare --methods='equal();pcgrad()'",
    "relate": "--mode=relate --relations='networks();lookahead()'",
}
SHARED = (
    *(CONFIG, WORKDIR, MODE, LIST, SIMULATE_DEVICES, CACHE, QUICKLY, ALLOW_CHANGE),
    *(COORDINATOR, NUM_PROCESSES, PROCESS_ID),
)


def check_together(config: ml_collections.ConfigDict) -> None:
    """Checks the flags against each other and the config.

    Raises:
        UserError: for an unknown mode, a flag of another mode, or two that cannot be had together.
    """
    mode = MODE.value
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    if mode == "compare" and not split(METHODS.value) and not WORKER.value:
        raise UserError(f"--mode=compare and --methods go together: {_EXAMPLES['compare']}.")
    for modes, them in ONLY_WITH.items():
        for flag in them:
            if flag.present and flag.value not in (None, False) and mode not in modes:
                where = " or ".join(f"--mode={one}" for one in modes)
                example = f": {_EXAMPLES[modes[0]]}" if modes[0] in _EXAMPLES else ""
                raise UserError(f"--{flag.name} goes with {where}{example}.")
    if COORDINATOR.value is not None and JOBS.value:
        raise UserError("--jobs starts processes each of which trains alone: it goes without --coordinator.")
    if "study" in config and mode != "train":
        raise UserError(f"study {config.study!r} is no training run; run it without --mode.")


def split(names: str | None) -> list[str]:
    """Names with ; between them.

    Example:
        >>> split("equal(); pcgrad()")
        ['equal()', 'pcgrad()']
    """
    return [name for name in map(str.strip, (names or "").split(";")) if name]
