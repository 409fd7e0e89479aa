"""Renders many clips on all cores: in order, a bounded number ahead."""

import collections
import concurrent.futures
import contextlib
import io
import multiprocessing
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from mtljax.data.scenes.render import render_clip

_PIXELS_A_JOB = 1 << 16  # so that a job is some seconds of work at most, and its clips some megabytes


def workers(count: int | None = None) -> concurrent.futures.Executor:
    """A pool of processes for `rendered`; where processes cannot be started, one thread.

    They are spawned, never forked: JAX's threads do not survive a fork.

    Args:
        count: of processes; default: one a core.
    """
    count = (os.cpu_count() or 1) if count is None else count
    if count < 2 or multiprocessing.current_process().daemon:
        return concurrent.futures.ThreadPoolExecutor(1)
    return concurrent.futures.ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))


def rendered(
    pool: concurrent.futures.Executor, size: int, frames: int, seed: int, split: str, number: int, step: int = 1
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The clips 0 .. number - 1 of a split with their indices: `render_clip`, but with PNG bytes a frame for `video`.

    The clips do not depend on the pool: neither on its kind nor on how many workers it has.
    """
    clips = max(1, _PIXELS_A_JOB // (size * size * frames))
    starts = collections.deque(range(0, number, clips))
    ahead: collections.deque[concurrent.futures.Future] = collections.deque()
    most_ahead = 2 * (os.cpu_count() or 1)
    while starts or ahead:
        while starts and len(ahead) < most_ahead:
            start = starts.popleft()
            indices = range(start, min(start + clips, number))
            with _no_main_module():
                ahead.append(pool.submit(_render, size, frames, seed, split, indices, step))
        yield from ahead.popleft().result()


def _render(
    size: int, frames: int, seed: int, split: str, indices: range, step: int
) -> list[tuple[int, dict[str, Any]]]:
    clips = [(index, render_clip(size, frames, seed, split, index, step)) for index in indices]
    return [(index, clip | {"video": [_png(frame) for frame in clip["video"]]}) for index, clip in clips]


def _png(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    # A spawned process first runs the user's script again, up to `if __name__ == "__main__"`. A script without that
    # line would prepare the data once more in every worker, and a notebook has no script at all; we need nothing of it.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
