"""The folder of compiled programs."""

import os

import jax
import pytest

from mtljax.train.spread import compilation_cache

KEYS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(autouse=True)
def as_it_was():
    before = {key: getattr(jax.config, key) for key in KEYS}
    yield
    for key, value in before.items():
        jax.config.update(key, value)


def test_a_folder_is_made_and_used(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compilation_cache.keep()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mtljax" / "xla")
    assert (tmp_path / "mtljax" / "xla").is_dir()
    compilation_cache.keep("")
    assert jax.config.jax_compilation_cache_dir is None


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    compilation_cache.keep(str(tmp_path / "file" / "folder"))
    assert jax.config.jax_compilation_cache_dir is None
    assert "warning: cannot keep compiled programs in" in capsys.readouterr().err


def test_what_is_oldest_goes_first(tmp_path):
    for age, name in enumerate(("new", "older", "oldest")):
        file = tmp_path / f"{name}-cache"
        file.write_bytes(bytes(100))
        os.utime(file, (1e9 - age, 1e9 - age))
    (tmp_path / "other").write_bytes(bytes(1000))
    compilation_cache._shrink(tmp_path, 200)
    assert {file.name for file in tmp_path.iterdir()} == {"new-cache", "older-cache", "other"}
