"""The config that a run left in its workdir: repeats the run from it alone.

python launch.py --config configs/from_workdir.py:runs/a --workdir runs/b
"""

import pathlib

from mtljax.train.config import default as run_config


def get_config(workdir: str):
    return run_config.load(pathlib.Path(workdir) / run_config.CONFIG_FILE)
