"""SIGTERM and SIGINT: at once where there is nothing to save, else after a save, and at once when asked again."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from mtljax.train.spread import hosts

STATUS: dict[int, int] = {signal.SIGTERM: 0, signal.SIGINT: 130}  # of a process that has nothing more to save
HURRIED: dict[int, int] = {signal.SIGTERM: 143, signal.SIGINT: 130}  # of one that leaves without saving


class _Watch:
    """What a thread does about signals, since Python's own handlers wait for compiled code to return."""

    def __init__(self, status: dict[int, int], patient: bool) -> None:
        self.status, self.patient = status, patient
        self.ask: Callable[[int], None] | None = None  # where there is something to save
        self.kept = "nothing is to be saved"
        self._asked = False
        self._read, write = socket.socketpair()
        write.setblocking(False)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        self._write = write  # kept open
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while numbers := self._read.recv(1):
            self.arrived(numbers[0])

    def arrived(self, number: int) -> None:
        """What a signal does."""
        if number not in STATUS:
            return
        name = signal.Signals(number).name
        if self.ask is None:
            _leave(f"{name}: {self.kept}; the same command starts it again or goes on.", self.status[number])
        if self._asked and self.patient:
            return
        if self._asked:
            _leave(f"{name} again: left without saving; the newest finished checkpoint stays.", HURRIED[number])
        self._asked = True
        self.ask(number)


_watch: _Watch | None = None


def watch(status: dict[int, int] = STATUS, *, patient: bool = False) -> None:
    """From now on SIGTERM and SIGINT end this process at once, also while it compiles, but for what `saving` says.

    For a command line, once, from the main thread. Library users keep the handlers they have.

    Args:
        status: the exit status by signal.
        patient: whether a second signal is as the first: for a process that is told by its parent when to hurry, where
            signals may come from the parent and from the system.
    """
    global _watch
    if _watch is None:
        _watch = _Watch(status, patient)
    _watch.status = status
    for number in STATUS:
        signal.signal(number, _wait)


def keeps(what: str) -> None:
    """Says what is kept when a signal ends this process at once, such as `step 500 is kept in runs/a`."""
    if _watch is not None:
        _watch.kept = what


def watched() -> bool:
    """Whether `watch` has been called: this process is a command's."""
    return _watch is not None


def ask(number: int) -> None:
    """Does what a signal would, for a process that its parent asks by other means; only where signals are watched."""
    if _watch is not None:
        _watch.arrived(number)


def _wait(number: int, frame: Any) -> None:
    """Does nothing: the thread does."""


def _leave(message: str, status: int) -> NoReturn:
    os.write(1, f"\n{message}\n".encode())
    os._exit(status)


@contextlib.contextmanager
def saving(ask: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    """Has the first signal ask for a save, once the function given says that there is something to save.

    Several processes stop together, so that each of them is asked from the start. Without `watch`, a signal asks at
    any time, and a second one raises `KeyboardInterrupt`; not in the main thread, signals do what they did.

    Args:
        ask: is called with the signal's number, from a thread or from a handler.
    """
    if _watch is not None:
        with _asking(_watch, ask) as begin:
            yield begin
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked = False

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        ask(number)

    before = {number: signal.signal(number, handle) for number in STATUS}
    try:
        yield lambda: None
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _asking(watched: _Watch, ask: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    def begin() -> None:
        watched.ask = ask

    for number in STATUS:
        signal.signal(number, _wait)
    if hosts.shard()[1] > 1:
        begin()
    try:
        yield begin
    finally:
        watched.ask = None
