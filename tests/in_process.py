"""Command lines run in this process, which needs no import, and leaves flags as they were."""

import sys
import warnings

import grain  # noqa: F401  # which defines flags
from absl.testing import flagsaver

from mtljax import cli


def command(*words, program="launch.py"):
    """The exit status of a command line; signals and devices are those of the tests, where `cli._begin` is patched."""
    before = flagsaver.save_flag_values()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the load_module", DeprecationWarning)  # of ml_collections
            return cli.main([program, *words])
    finally:
        flagsaver.restore_flag_values(before)
        sys.modules.pop("config_config", None)  # the config file, into which the next one would be loaded
