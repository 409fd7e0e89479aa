"""TensorFlow Datasets without its prints, bars and warnings: a run shows one progress bar at a time."""

import contextlib
import io
import warnings
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Imports TFDS if need be and keeps what it says off the screen; errors pass."""
    before = logging.get_verbosity()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # TFDS and what it imports warn about each other's deprecations.
        logging.set_verbosity(logging.ERROR)
        try:
            import tensorflow_datasets as tfds

            tfds.disable_progress_bar()
            yield
        finally:
            logging.set_verbosity(before)
