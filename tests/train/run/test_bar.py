"""The bar: what it shows while programs compile, and what its rate leaves out."""

import io
import sys
import time

import pytest

from mtljax.train.run import bar as bars


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize("stream", [Terminal, io.StringIO], ids=["terminal", "file"])
def test_it_says_that_it_compiles_and_for_how_long(stream, clock, monkeypatch):
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    with bars.Bar(10) as bar:
        for second in range(0, 400):
            clock[0] = 1000.0 + second / 10
            bar.compiling(second / 10)
        clock[0] = 1040.0
        bar.step()
        clock[0] = 1041.0
        bar.step()
    told = shown.getvalue()
    assert "compiling: " in told
    assert told.count("compiling for") == (39 if stream is Terminal else 1)
    assert ("compiling for 39 s" if stream is Terminal else "compiling for 30 s") in told
    last = told.split("\r")[-1]
    assert "compiling" not in last
    assert "2/10 [" in last


def test_the_rate_leaves_out_compiling_and_evaluations(clock, monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with bars.Bar(100) as bar:
        bar.compiling(0.0)
        clock[0] += 60
        bar.compiling(60.0)
        for i in range(20):
            clock[0] += 4
            bar.step()
            if i == 9:
                with bar.aside():
                    clock[0] += 300
        bar.losses({"depth": "0.5"})
        clock[0] += 4
        bar.step()
    last = shown.getvalue().rstrip("\n").split("\r")[-1]
    assert "21/100 [01:24<05:16,  0.25step/s, depth=0.5]" in last


def test_a_silent_bar_shows_nothing(capsys):
    with bars.Bar(3, silent=True) as bar:
        bar.compiling(0.0)
        bar.step()
        with bar.aside():
            pass
    assert capsys.readouterr().err == ""
