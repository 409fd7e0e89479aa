"""Signals while compiled code runs, in processes of their own."""

import signal
import subprocess
import sys
import threading

import pytest

from tests.runs import ROOT, WAIT

# Locked twice, a mutex of C never returns: as a compilation does, for as long as it takes.
BEGINNING = """
import ctypes
from mtljax.train.run import signals
signals.watch()
def ask(number):
    print("asked", number, flush=True)
def compile():
    print("ready", flush=True)
    mutex = ctypes.create_string_buffer(256)
    c = ctypes.CDLL(None)
    c.pthread_mutex_lock(mutex)
    c.pthread_mutex_lock(mutex)
with signals.saving(ask) as something_to_save:
"""


@pytest.mark.parametrize(
    ("code", "number", "asked", "status"),
    [
        pytest.param("compile()", signal.SIGTERM, False, 0, marks=pytest.mark.slow),  # as where a run starts
        pytest.param("something_to_save(); compile()", signal.SIGINT, True, 130, marks=pytest.mark.slow),
        ("something_to_save(); compile()", signal.SIGTERM, True, 143),
    ],
    ids=["nothing to save", "SIGINT twice", "SIGTERM twice"],
)
def test_what_compiles_does_not_hold_a_signal_up(code, number, asked, status):
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", f"{BEGINNING}    {code}\n"], **options) as process:
        hangs = threading.Timer(WAIT, process.kill)
        hangs.start()
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            process.send_signal(number)
            if asked:
                assert process.stdout.readline() == f"asked {number:d}\n"
                process.send_signal(number)
            out, err = process.communicate()
        finally:
            hangs.cancel()
            process.kill()
    assert process.returncode == status, err
    name = signal.Signals(number).name
    assert (f"{name} again: left without saving" if asked else f"{name}: nothing is to be saved") in out
