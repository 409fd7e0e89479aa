"""How a process ends that others may wait for; with real ones: tests/test_hosts.py."""

import os

import pytest

from mtljax import cli
from mtljax.train.spread import hosts


@pytest.mark.parametrize(
    ("place", "status", "said"),
    [("own.py, line 3", 2, "error in your code: RuntimeError: red"), (None, 1, "Traceback")],
)
def test_what_ends_one_process_does_not_wait_for_the_others(monkeypatch, capfd, place, status, said):
    def fails(arguments):
        raise RuntimeError("red")

    def leaves(status):
        raise SystemExit(status)  # but at once

    monkeypatch.setattr(cli.parsing, "parsed", fails)
    monkeypatch.setattr(cli, "place_of", lambda error: place)
    monkeypatch.setattr(hosts, "is_alone", lambda error: True)
    monkeypatch.setattr(hosts, "first", lambda: False)
    monkeypatch.setattr(os, "_exit", leaves)
    with pytest.raises(SystemExit) as ended:
        cli.main(["launch.py", "--workdir=run"])
    assert ended.value.code == status
    assert said in capfd.readouterr().err
