"""Devices shared out among processes."""

import pytest

from mtljax.errors import UserError
from mtljax.studies.comparison import devices
from mtljax.studies.comparison.devices import Share, shares


@pytest.fixture
def machine(monkeypatch):
    """Makes the machine one with so many devices of a platform."""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    return lambda *there: monkeypatch.setattr(devices, "there", lambda: there)


def test_gpus_are_shared_out(machine, monkeypatch):
    machine("gpu", 4)
    assert [share.environment for share in shares(2)] == [
        {"CUDA_VISIBLE_DEVICES": "0,1"},
        {"CUDA_VISIBLE_DEVICES": "2,3"},
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")  # what a batch system gave
    assert [share.environment["CUDA_VISIBLE_DEVICES"] for share in shares(3, 1)] == ["4", "5", "6"]


def test_tpu_chips_are_shared_out(machine):
    machine("tpu", 4)
    first, second = shares(2)
    assert first.environment["TPU_VISIBLE_CHIPS"] == "0,1"
    assert second.environment == {
        "TPU_VISIBLE_CHIPS": "2,3",
        "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,2,1",
        "TPU_PROCESS_BOUNDS": "1,1,1",
    }
    with pytest.raises(UserError, match="--devices_per_job=3: a process has 1, 2, 4, 8 TPU chips"):
        shares(1, 3)


def test_jobs_beyond_the_devices_are_refused(machine):
    machine("gpu", 4)
    with pytest.raises(
        UserError, match=r"--jobs=5 with 1 gpu device each .* takes 5; expected at most the 4 there are"
    ):
        shares(5)
    with pytest.raises(UserError, match=r"--jobs=2 with 3 gpu devices each .* takes 6; expected at most the 4"):
        shares(2, 3)
    with pytest.raises(UserError, match="at most the 1 there is"):
        shares(2, simulated=1)


def test_a_cpu_is_shared_by_as_many_as_one_likes(machine, monkeypatch):
    machine("cpu", 1)
    assert shares(3) == [Share()] * 3
    assert shares(3, 2) == [Share(2)] * 3
    assert shares(2, simulated=8) == [Share(4)] * 2
    machine("gpu", 1)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert shares(2) == [Share()] * 2


def test_what_is_there_is_asked_in_another_process(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    assert devices.there() == ("cpu", 3)


@pytest.mark.slow
def test_what_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "no_such")
    with pytest.raises(UserError, match="JAX finds no devices"):
        devices.there()
