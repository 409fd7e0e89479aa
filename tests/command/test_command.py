"""What the command line says of itself, and how it finds what a user means."""

import pathlib
import subprocess
import sys

import pytest

from mtljax import cli
from mtljax.command import help_text, listing, parsing
from mtljax.command.flags import MODES, ONLY_WITH, SHARED
from mtljax.errors import UserError
from mtljax.train import default_config
from tests.in_process import command

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_every_key_of_a_config_has_a_meaning_and_nothing_else_has():
    assert set(help_text.meanings()) == set(default_config())


def test_help_names_every_mode_every_flag_and_every_config():
    told = help_text.of_flags()
    flags = [flag.name for them in (SHARED, *ONLY_WITH.values()) for flag in them]
    for name in [*(f"--mode={mode}" for mode in MODES), *(f"--{flag}" for flag in flags), *parsing.shipped_configs()]:
        assert name in told, name
    assert max(map(len, told.splitlines())) <= 120


@pytest.mark.slow
def test_help_of_a_config_tells_its_keys_in_a_process_of_its_own():
    command = [sys.executable, "-m", "mtljax", "--config", "quickstart", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for part in (
        "Four tasks on one small ResNet",
        "batch_size = 8",
        "tasks.depth = 'depth(width=32)'",
        "--list=balancers",
    ):
        assert part in done.stdout, part


@pytest.mark.parametrize("kind", listing.KINDS)
def test_a_list_has_one_line_each_that_says_what_it_is(kind):
    lines = listing.of(kind).splitlines()
    assert len(lines) > 4
    assert [line for line in lines if len(line.split()) < 3] == []


def test_lists_hold_what_a_config_may_name():
    for kind, name in (("balancers", "nash_mtl"), ("tasks", "depth"), ("models", "PLE"), ("data", "from_table")):
        assert any(line.split()[0] == name for line in listing.of(kind).splitlines()), name
    assert "graddrop" in listing.of("balancers")
    assert "from_rule" not in listing.of("balancers")


def test_the_launcher_prints_a_list_and_trains_nothing(capsys):
    assert cli.main(["launch.py", "--list=models"]) == 0
    assert capsys.readouterr().out.startswith("CGC")
    assert cli.main(["launch.py", "--list=model"]) == 2
    assert "did you mean 'models'?" in capsys.readouterr().err


def test_a_config_is_found_by_its_name_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parsing.config_file("quickstart").read_text() == (ROOT / "configs" / "quickstart.py").read_text()
    assert parsing.config_file("configs/quickstart.py").samefile(ROOT / "configs" / "quickstart.py")
    (tmp_path / "mine.py").write_text("")
    assert parsing.config_file("mine.py") == pathlib.Path("mine.py")
    with pytest.raises(UserError, match=r"unknown config file 'mein.py'; did you mean 'mine.py'"):
        parsing.config_file("mein.py")


@pytest.mark.parametrize("before", [["--config=mine.py:x"], ["--config", "mine.py:x"], ["-config", "mine.py:x"]])
def test_the_name_of_a_config_becomes_its_path_and_nothing_else_changes(tmp_path, monkeypatch, before):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    found = parsing._with_config_file(["launch.py", "--mode=eval", *before, "--config.steps=3"])
    assert found == ["launch.py", "--config=mine.py:x", "--mode=eval", "--config.steps=3"]


def test_a_tilde_is_the_home_wherever_a_workdir_is_named(tmp_path, monkeypatch, capsys):
    import mtljax as mtl
    from mtljax import fitting

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cli, "_begin", lambda: None)
    for words in (["--mode=report", "--workdir=~/a"], ["--mode=eval", "--workdir=~/a"]):
        assert command(*words) == 2
        assert f"'{tmp_path}/a'" in capsys.readouterr().err
    asked = []
    monkeypatch.setattr(fitting, "train", lambda config, workdir, *_, **__: asked.append(workdir))
    monkeypatch.setattr(fitting, "load", lambda workdir, **_: asked.append(workdir))
    mtl.fit(workdir="~/a")
    assert asked == [tmp_path / "a"] * 2
