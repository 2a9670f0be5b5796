import keras
import pytest

from smallvit.training import runtime
from smallvit.training.runtime import Session


@pytest.fixture
def machine(monkeypatch):
    """A function that sets what `nvidia-smi` prints for its compute capabilities."""

    def set_machine(printed):
        monkeypatch.setattr(runtime, "on_cpu", lambda: False)
        monkeypatch.setattr(runtime, "output_of", lambda *command: printed)
        monkeypatch.setattr(runtime.os, "cpu_count", lambda: 2)

    return set_machine


@pytest.mark.parametrize(
    ("printed", "precision"),
    [
        ("7.5", "mixed_float16"),  # T4
        ("6.0\n7.0", "mixed_float16"),
        ("8.0\n7.5", "mixed_float16"),
        ("8.0", "mixed_bfloat16"),  # A100
        ("10.0\n12.0", "mixed_bfloat16"),
        ("", "mixed_bfloat16"),  # no NVIDIA, such as a TPU, or a driver that does not know
        ("[N/A]", "mixed_bfloat16"),
    ],
)
def test_half_precision_is_what_all_gpus_compute_in(machine, printed, precision):
    machine(printed)
    assert Session().for_this_device().precision == precision
    assert Session(precision="float32").for_this_device().precision == "float32"


def test_an_accelerator_gets_many_steps_a_call_and_a_worker(machine):
    machine("7.5")
    session = Session().for_this_device()
    steps = 1 if keras.backend.backend() == "torch" else 16
    assert (session.steps_per_call, session.workers) == (steps, 1)
    with runtime.device_settings(session):
        assert runtime.gains_by_xla(keras.config.dtype_policy().compute_dtype) == (
            keras.backend.backend() != "torch"
        )


def test_a_cpu_gets_none_of_that(monkeypatch):
    monkeypatch.setattr(runtime, "on_cpu", lambda: True)
    expected = Session(precision="float32", steps_per_call=1, workers=0)
    assert Session().for_this_device() == expected
