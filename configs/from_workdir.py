"""The config that a run left in its workdir: repeats the run from it alone.

python launch.py --config configs/from_workdir.py:runs/a --workdir runs/b
"""

from mtljax.train.run.config_file import get_config

__all__ = ["get_config"]
