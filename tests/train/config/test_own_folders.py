"""Modules of a user's own beside the config: found, kept, and found again from elsewhere."""

import os
import sys

import pytest

from mtljax.errors import UserError
from mtljax.train import default_config
from mtljax.train.config import own, own_folders
from mtljax.train.config.default import checked
from mtljax.train.run import config_file


@pytest.fixture
def path(monkeypatch):
    """Python's path, and what has been imported, as before once a test is over."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_folders, "_looked_in", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    before = {*sys.modules}
    yield sys.path
    for name in {*sys.modules} - before:
        del sys.modules[name]


def written(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    return folder


def config(data, modules=""):
    made = default_config()
    made.data, made.modules, made.tasks = data, modules, {"kind": "classify(3)"}
    return made


def test_what_lies_beside_the_config_is_kept_and_found_again(tmp_path, path):
    folder = written(tmp_path / "configs", "beside_it", "def made():\n    return 'here'\n")
    given = config("beside_it:made()").lock()
    own_folders.remember(given, folder)
    assert given.modules == str(folder)
    config_file.write(checked(given), tmp_path / "run")
    path.remove(str(folder))
    checked(config_file.load(tmp_path / "run" / "config.json"))
    assert own.find("beside_it:made")() == "here"


def test_a_folder_on_the_path_is_kept_and_comes_first(tmp_path, path):
    first, beside = (written(tmp_path / name, "twice_there", f"PLACE = {name!r}\n") for name in ("first", "beside"))
    path.append(str(first))
    assert own_folders.folders_of({"data": "twice_there:f()"}, beside) == str(first)
    assert checked(config("mix({'a': twice_there:f()})")).modules == str(first)


def test_packages_are_found_by_their_folder(tmp_path, path):
    written(written(tmp_path / "a", "other_one", "").parent / "a" / "my_parts", "__init__", "")
    found = own_folders.folders_of({"tasks": {"x": "my_parts.deep:f(other_one:g)"}}, tmp_path / "a")
    assert found == str(tmp_path / "a")


def test_nothing_is_kept_of_installed_modules_or_plain_texts(tmp_path):
    texts = {"data": "math:sqrt()", "model": "optax.losses:l2()", "init_from": "a:b", "study": "a : b", "n": 3}
    assert own_folders.folders_of(texts, tmp_path) == ""
    assert checked(config("scenes()")).modules == ""


def test_two_modules_of_one_name_are_not_taken_for_each_other(tmp_path, path):
    for name in ("one", "two"):
        written(tmp_path / name, "the_same", f"def f():\n    return {name!r}\n")
    checked(config("the_same:f()", str(tmp_path / "one")))
    assert own.find("the_same:f")() == "one"
    checked(config("the_same:f()", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")])))
    with pytest.raises(UserError, match=r"module 'the_same' of '\S+two' cannot be imported beside that of '\S+one'"):
        checked(config("the_same:f()", str(tmp_path / "two")))


def test_where_modules_lie_is_no_other_config(tmp_path, path):
    given = checked(config("the_same:f()", str(tmp_path)))
    config_file.write(given, tmp_path / "run")
    with given.unlocked():
        given.modules = "/elsewhere"
    config_file.refuse_change(given, tmp_path / "run")
