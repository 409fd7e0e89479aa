"""Where tasks are: each in a file of its own name, in one room; and a new one is found without being listed."""

import pathlib
import sys

import pytest

from mtljax import tasks
from mtljax.tasks import values

ROOT = pathlib.Path(tasks.__file__).parent


@pytest.mark.parametrize("name", tasks.FACTORIES)
def test_a_task_has_a_file_of_its_own_name_in_one_room(name):
    [room] = [room for room in tasks.ROOMS if (ROOT / room / f"{name}.py").exists()]
    assert tasks.FACTORIES[name].__module__ == f"mtljax.tasks.{room}.{name}"
    assert getattr(tasks, name) is tasks.FACTORIES[name]
    assert name in tasks.__all__


def test_a_new_task_is_found_and_what_helps_it_is_none(tmp_path, monkeypatch):
    (tmp_path / "height.py").write_text("from mtljax.tasks import Task\n\n\ndef height() -> Task: ...\n")
    (tmp_path / "helper.py").write_text("def helper() -> int: ...\n")
    monkeypatch.setattr(values, "__path__", [*values.__path__, str(tmp_path)])
    found = dict(tasks._factories())
    for name in ("height", "helper"):
        monkeypatch.delattr(values, name)
        monkeypatch.delitem(sys.modules, f"mtljax.tasks.values.{name}")
    assert found.keys() - tasks.FACTORIES.keys() == {"height"}
    assert found["height"].__module__ == "mtljax.tasks.values.height"
