import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from samples import TINY, TINY_PAPER, TINY_VIT, without_times

from smallvit.data.batches import OnDevice
from smallvit.training import runtime
from smallvit.training.build import build_model, compile_model
from smallvit.training.callbacks import Checkpoint
from smallvit.training.errors import TrainingError
from smallvit.training.loop import train
from smallvit.training.recipes import get_recipe
from smallvit.training.runtime import Session


@pytest.fixture
def machine(monkeypatch):
    """A function that sets what `nvidia-smi` prints for its compute capabilities."""

    def set_machine(printed):
        monkeypatch.setattr(runtime, "on_cpu", lambda: False)
        monkeypatch.setattr(runtime, "output_of", lambda *command: printed)
        monkeypatch.setattr(runtime, "count_cores", lambda: 2)

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


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs taskset, as on Linux")
def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(runtime, "_place", lambda: "cpu:0")
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert runtime.count_cores() == 1
        assert runtime.describe_device().endswith(", 1 core")
    finally:
        os.sched_setaffinity(0, allowed)
    assert runtime.count_cores() == len(allowed)


def test_only_visible_gpus_are_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(runtime, "output_of", lambda *command: asked.append(command) or "8.0")
    for visible in ("", "2,3"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert runtime._half_precision() == "mixed_bfloat16"
    assert [[x for x in command if "--id" in x] for command in asked] == [[], ["--id=2,3"]]


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


def test_precision_is_set_for_the_run_and_set_back(dataset, tmp_path):
    session = Session(precision="mixed_bfloat16")
    record = train(TINY, dataset, tmp_path, epochs=1, session=session)
    assert record.precision == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    with pytest.raises(TrainingError, match="another precision"):
        train(TINY, dataset, tmp_path, epochs=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("workers", value) for value in (-1, 1.5, True)),
        *(("steps_per_call", value) for value in (0, 2.0, True)),
        *(("time_limit", value) for value in (-1.0, float("nan"))),
    ],
)
def test_an_option_out_of_range_is_refused(option, value):
    with pytest.raises(ValueError, match=rf"^{option} must be .*at least [01].*; got"):
        Session(**{option: value})


def test_float16_trains_a_masked_diagonal(dataset, tmp_path):
    recipe = dataclasses.replace(TINY, model=TINY_VIT)
    session = Session(precision="mixed_float16")
    record = train(recipe, dataset, tmp_path, epochs=1, session=session)
    assert record.finished  # as it would not be if a loss were not finite


def test_float16_scales_the_loss_and_a_resumed_run_goes_on_with_the_scale(
    dataset, tmp_path, monkeypatch
):
    """In shifted windows. The first scale overflows, so steps are left out."""
    recipe = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, depths=(2,)))
    scaled, first = keras.optimizers.LossScaleOptimizer, 2.0**24
    start = scaled.__init__
    monkeypatch.setattr(scaled, "__init__", lambda *a, **k: start(*a, initial_scale=first, **k))
    session = Session(precision="mixed_float16")
    whole = train(recipe, dataset, tmp_path / "whole", session=session)
    assert whole.precision == "mixed_float16"
    hurried = dataclasses.replace(session, time_limit=1e-3)
    train(recipe, dataset, tmp_path / "cut", session=hurried)

    with runtime.device_settings(session.for_this_device()):
        compiled = build_model(recipe)
        compile_model(compiled, recipe, 90)
        assert isinstance(compiled.optimizer, scaled)
        assert Checkpoint(tmp_path / "cut" / "tiny" / "seed-0").restore(compiled) == 1
    scale, steps = float(compiled.optimizer.dynamic_scale), int(compiled.optimizer.iterations)
    assert 1 <= scale < first and steps == 9 - np.log2(first / scale)

    resumed = train(recipe, dataset, tmp_path / "cut", session=session)
    assert without_times(resumed) == without_times(whole)


def test_an_unknown_place_or_precision_is_refused():
    with pytest.raises(ValueError, match="augment must be host or device; got 'gpu'"):
        Session(augment="gpu")
    with pytest.raises(ValueError, match=r"precision must be one of float32, .*; got 'float8'"):
        Session(precision="float8")


@pytest.mark.parametrize(
    "wrong",
    [
        {"PROCESS_ID": "2"},
        {"PROCESS_ID": "-1"},
        {"NUM_PROCESSES": "two"},
        {"JOB_ADDRESSES": ""},
        {"JOB_ADDRESSES": "somewhere"},
    ],
)
def test_a_place_among_processes_that_cannot_be_is_refused(monkeypatch, wrong):
    given = {"PROCESS_ID": "1", "NUM_PROCESSES": "2", "JOB_ADDRESSES": "127.0.0.1:1234"}
    for name, value in given.items():
        monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
    runtime._require_place_among_processes()
    ((name, value),) = wrong.items()
    monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
    with pytest.raises(TrainingError, match=rf"{name}={value}[,:].*expected a number from 0"):
        runtime._require_place_among_processes()


def test_several_steps_a_call_give_the_same_run(finished, dataset, tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras takes one step at a time on torch")
    several = train(TINY, dataset, tmp_path, seed=3, session=Session(steps_per_call=2))
    losses = [[epoch["loss"] for epoch in r.history] for r in (several, finished[1])]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_distribution_takes_jax(dataset, tmp_path):
    if keras.backend.backend() == "jax":
        pytest.skip("it is JAX")
    with pytest.raises(TrainingError, match="needs JAX; Keras runs on"):
        train(TINY, dataset, tmp_path, session=Session(distribute=True))


def test_batches_that_devices_cannot_share_are_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "cpu:1", "cpu:2"])
    with pytest.raises(TrainingError, match="3 devices cannot share batches of 10 and 16 images"):
        runtime.require_divisible({16, 10, 0})


def test_on_a_cpus_cores_the_command_gives_the_losses_on_one_device(tmp_path):
    """Of six cores four can share batches of 16, 8 and 4 images."""
    if keras.backend.backend() != "jax":
        pytest.skip("JAX spreads runs over devices")
    script = tmp_path / "spread.py"
    script.write_text(SPREAD)
    printed = subprocess.run(
        [sys.executable, script, tmp_path, Path(__file__).parents[1]],
        capture_output=True,
        text=True,
    )
    assert printed.returncode == 0, printed.stderr
    devices, four, one = json.loads(printed.stdout.splitlines()[-1])
    assert devices == 4
    np.testing.assert_allclose(four, one, rtol=1e-3)


SPREAD = """
import dataclasses, json, sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])
import jax
from samples import TINY, tiny_dataset

from smallvit.__main__ import main
from smallvit.data import datasets
from smallvit.data.mixing import CutMixOrMixup
from smallvit.training import loop, runtime
from smallvit.training.recipes import RECIPES
from smallvit.training.records import read_record

runtime.count_cores = lambda: 6
datasets.load_dataset = lambda *_: tiny_dataset()
RECIPES["tiny"] = dataclasses.replace(
    TINY, validation_fraction=0.2, batch_size=16, mixing=CutMixOrMixup(probability=1.0)
)
losses = []
loop.RECIPES = {"tiny": RECIPES["tiny"]}
alone = ["reproduce", "--results", sys.argv[1], "--distribute", "--augment", "device"]
for number, how in enumerate((alone, ["train", "tiny"])):
    out = Path(sys.argv[1], str(number))
    assert main([*how, "--out", str(out)]) == 0
    history = read_record(out / "tiny" / "seed-0.json").history
    losses.append([epoch["loss"] for epoch in history])
print(json.dumps([jax.device_count(), *losses]))
"""


@pytest.mark.parametrize("recipe", [TINY, TINY_PAPER], ids=["swin", "paper"])
def test_a_run_may_go_on_on_the_device_and_is_the_same(tmp_path, dataset, recipe):
    """To rounding; its weights are those of the network, as those of other runs are."""
    whole = train(recipe, dataset, tmp_path / "whole")
    train(recipe, dataset, tmp_path / "cut", session=Session(time_limit=1e-3))
    steps = 1 if keras.backend.backend() == "torch" else 2
    session = Session(augment="device", steps_per_call=steps)
    cut = train(recipe, dataset, tmp_path / "cut", session=session)
    weights, figures = [], []
    for name, record in {"whole": whole, "cut": cut}.items():
        network = build_model(recipe)
        network.load_weights(tmp_path / name / "tiny" / "seed-0.weights.h5")
        weights.append([keras.ops.convert_to_numpy(weight) for weight in network.weights])
        losses = [epoch[name] for epoch in record.history for name in ("loss", "val_loss")]
        figures.append([record.parameters, *record.test.values(), *losses])
    np.testing.assert_allclose(*figures, rtol=1e-3)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_on_the_device_half_precision_scales_the_loss_but_finds_pixels_in_float32(
    dataset, monkeypatch
):
    recipe = dataclasses.replace(TINY, transforms=get_recipe("vit-keras").transforms)
    recipe = recipe.for_dataset(dataset)
    with runtime.device_settings(Session(precision="mixed_float16")):
        network = build_model(TINY)
        model = OnDevice(network, recipe.transforms, None)
        compile_model(model, recipe, 100)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert [id(each) for each in model.variables] == [id(each) for each in network.variables]
    seen = []
    monkeypatch.setattr(type(network), "__call__", lambda _, x, training: seen.append(x) or x)
    inputs, _ = recipe.batches(*dataset.train, seed=1, on_device=True)[0]
    model(tuple(map(keras.ops.convert_to_tensor, inputs)), training=True)
    expected, _ = recipe.batches(*dataset.train, seed=1)[0]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(seen[0]), expected, atol=1e-4)
