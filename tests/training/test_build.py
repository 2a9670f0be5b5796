import dataclasses

import keras
import numpy as np
import pytest
from samples import TINY

from smallvit.training import runtime
from smallvit.training.build import build_model, build_schedule, compile_model
from smallvit.training.recipes import get_recipe
from smallvit.training.runtime import Session


def test_the_schedule_is_a_line_and_half_a_cosine():
    recipe = dataclasses.replace(TINY, epochs=10, batch_size=10, learning_rate=1e-2)
    schedule = build_schedule(recipe, 200)  # 20 steps an epoch, 20 steps of warm-up
    steps = np.arange(0, 201, 4)
    rates = np.array([float(schedule(step)) for step in steps])
    warmup = steps <= 20
    np.testing.assert_allclose(rates[warmup], 1e-6 + (1e-2 - 1e-6) * steps[warmup] / 20, rtol=1e-4)
    progress = (steps[~warmup] - 20) / 180
    cosine = 1e-6 + (1e-2 - 1e-6) * (1 + np.cos(np.pi * progress)) / 2
    np.testing.assert_allclose(rates[~warmup], cosine, rtol=1e-4)


@pytest.mark.parametrize("name", ["vit-paper", "swin-paper-3e-3"])
def test_the_papers_schedule_ends_with_its_117100_steps(name):
    recipe = get_recipe(name)
    assert recipe.steps_per_epoch(50_000) * recipe.epochs == 117_100
    schedule = build_schedule(recipe, 50_000)
    assert float(schedule(11_710)) == pytest.approx(recipe.learning_rate)
    assert float(schedule(117_100)) == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("precision", "backends"), [("float32", {"tensorflow", "jax"}), ("mixed_bfloat16", {"jax"})]
)
def test_on_a_cpu_xla_compiles_where_it_gains(precision, backends, monkeypatch):
    monkeypatch.setattr(runtime, "on_cpu", lambda: True)
    with runtime.device_settings(Session(precision=precision)):
        model = build_model(TINY)
        compile_model(model, TINY, 100)
    assert model.jit_compile == (keras.backend.backend() in backends)
