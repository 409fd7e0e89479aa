"""What is shown of a run as it goes: a bar with steps a second, time left and losses; and how long it has compiled."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tqdm import tqdm

_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
_IN_A_FILE = 30.0  # seconds between two lines


class Bar:
    """A progress bar on standard error; in a log file, a line every half minute.

    The time of compilations, evaluations and saves is no part of its rate, in steps a second, nor of the time left.

    Args:
        steps: of the run.
        start: the step that it goes on from.
        silent: whether to show nothing, as on all hosts but the first.
    """

    def __init__(self, steps: int, start: int = 0, *, silent: bool = False) -> None:
        self._in_a_file = not sys.stderr.isatty()
        often = _IN_A_FILE if self._in_a_file else 0.1
        self._bar = tqdm(
            total=steps,
            initial=start,
            unit="step",
            dynamic_ncols=True,
            mininterval=often,
            disable=silent,
            bar_format=_FORMAT,
            file=sys.stderr,
        )
        self._compiled = 0.0  # seconds that the compilation at hand has taken
        self._told = -1.0  # of these, as they were last told; below 0 where nothing compiles

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()

    def compiling(self, seconds: float) -> None:
        """Says that something compiles, and for how long so far."""
        self._compiled = seconds
        every = _IN_A_FILE if self._in_a_file else 1.0
        if self._told < 0 or seconds >= self._told + every:
            self._told = seconds
            for_long = f" for {seconds:.0f} s" if seconds >= 1 else ""
            self._bar.set_description_str(f"compiling{for_long}", refresh=not self._bar.disable)

    def step(self) -> None:
        """Counts a step."""
        self._has_compiled()
        self._bar.update()

    def _has_compiled(self) -> None:
        if self._told >= 0:
            self._told = -1.0
            self._bar.set_description_str("", refresh=False)
            self._leave_out(self._compiled)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Leaves what is done meanwhile out of the rate."""
        self._has_compiled()
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._told = -1.0
            self._bar.set_description_str("", refresh=False)
            self._leave_out(time.perf_counter() - begin)

    def _leave_out(self, seconds: float) -> None:
        if not self._bar.disable:
            self._bar.start_t += seconds
            self._bar.last_print_t += seconds

    def losses(self, shown: Mapping[str, str]) -> None:
        """Shows figures behind the bar."""
        self._bar.set_postfix(shown, refresh=False)

    def write(self, text: str) -> None:
        """Writes a line above the bar."""
        self._bar.write(text, file=sys.stderr)
