import json
import os
import re
import subprocess
import sys
from math import prod
from pathlib import Path

import keras
import numpy as np
import pytest
import reference
from keras import layers, ops

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # `benchmarks` is not installed with the package

from benchmarks import pipeline, published_swin, published_vit  # noqa: E402
from smallvit.models.cost import count_parameters  # noqa: E402
from smallvit.models.vit import SL_VIT_KERAS, VIT_KERAS, vision_transformer  # noqa: E402


def test_the_published_swin_is_what_it_was(rng):
    model = published_swin.build_model()
    assert count_parameters(model) == 162_996
    weights = reference.random_published_weights(rng, "float32")
    set_swin_weights(model, weights)
    images = rng.random((3, 32, 32, 3), "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(reference.patches_by_loops(images, 2))),
        reference.published_swin(images, weights),
        atol=1e-5,
        rtol=0,
    )


def set_swin_weights(model, weights):
    """Give the published model the reference's weights, layer by layer."""
    _, embed, block1, block2, merging, _, head = model.layers
    embed.proj.set_weights([weights["embed.kernel"], weights["embed.bias"]])
    embed.positions.set_weights([weights["position"]])
    for block, values in zip((block1, block2), weights["blocks"], strict=True):
        fc1, _, _, fc2, _ = block.mlp.layers
        owners = {"fc1": fc1, "fc2": fc2, "qkv": block.attn.qkv, "proj": block.attn.proj}
        for name, value in values.items():
            if name == "relative_position_bias_table":
                block.attn.bias_table.assign(value)
                continue
            part, kind = name.split(".")
            getattr(owners.get(part) or getattr(block, part), kind).assign(value)
    merging.reduction.set_weights([weights["reduction.kernel"]])
    head.set_weights([weights["head.kernel"], weights["head.bias"]])


@pytest.mark.parametrize(
    ("vanilla", "parameters"), [(True, 21_759_012), (False, 21_787_748)], ids=["vit", "sl-vit"]
)
def test_the_published_vits_count_and_with_our_weights_give_our_outputs(rng, vanilla, parameters):
    published = published_vit.build_model(vanilla)
    assert count_parameters(published) == parameters
    ours = vision_transformer(VIT_KERAS if vanilla else SL_VIT_KERAS)
    for weight in ours.trainable_weights:
        if prod(weight.shape) < 100_000:  # so that no bias is zero, no norm one
            weight.assign(weight + rng.normal(0, 0.02, weight.shape))
    set_vit_weights(published, ours, vanilla)
    images = rng.random((2, 72, 72, 3), "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(published(images)), ops.convert_to_numpy(ours(images)), atol=1e-4
    )


def set_vit_weights(published, ours, vanilla):
    """Give the published model our weights."""

    def find(kind):
        return [layer for layer in published.layers if isinstance(layer, kind)]

    (tokenization,), (encoder,) = (
        find(published_vit.PatchTokenization),
        find(published_vit.PatchEncoder),
    )
    attentions, norms, dense = (
        find(layers.MultiHeadAttention),
        find(layers.LayerNormalization),
        find(layers.Dense),
    )
    embed = ours.get_layer("patch_embed")
    tokenization.projection.bias.assign(embed.proj.bias)
    tokenization.projection.kernel.assign(reorder_shifts(embed.proj.kernel, vanilla))
    if not vanilla:
        tokenization.layer_norm.gamma.assign(reorder_shifts(embed.norm.gamma, vanilla))
        tokenization.layer_norm.beta.assign(reorder_shifts(embed.norm.beta, vanilla))
    encoder.position_embedding.embeddings.assign(ours.get_layer("position_embedding").position[0])
    for number, attention in enumerate(attentions):
        block = ours.get_layer(f"block{number + 1}")
        copy(block.norm1, norms[2 * number])
        copy(block.norm2, norms[2 * number + 1])
        copy(block.mlp.fc1, dense[2 * number])
        copy(block.mlp.fc2, dense[2 * number + 1])
        set_attention(attention, block.attn)
    copy(ours.get_layer("norm"), norms[-1])
    for name, layer in zip(("head_hidden1", "head_hidden2", "head"), dense[-3:], strict=True):
        copy(ours.get_layer(name), layer)


def copy(source, target):
    target.set_weights(source.get_weights())


def reorder_shifts(weight, vanilla):
    """Our order of views is image, left-up, right-up, left-down, right-down, as in the paper.

    The example names a view after the way the image moves, not the reader, and has image, left-up,
    left-down, right-up, right-down: our numbers 0, 4, 2, 3, 1.
    """
    if vanilla:
        return weight
    weight = ops.convert_to_numpy(weight)
    by_view = weight.reshape(6 * 6, 5, 3, *weight.shape[1:])
    return by_view[:, [0, 4, 2, 3, 1]].reshape(weight.shape)


def set_attention(published, ours):
    parts = (published.query_dense, published.key_dense, published.value_dense)
    kernels = np.split(ops.convert_to_numpy(ours.qkv.kernel), 3, axis=1)
    biases = np.split(ops.convert_to_numpy(ours.qkv.bias), 3)
    for part, kernel, bias in zip(parts, kernels, biases, strict=True):
        part.set_weights([kernel.reshape(64, 4, 64), bias.reshape(4, 64)])
    kernel, bias = ours.proj.get_weights()
    published.output_dense.set_weights([kernel.reshape(4, 64, 64), bias])
    if hasattr(published, "tau"):
        published.tau.assign(value_of(ours.temperature))


def value_of(weight):
    return ops.convert_to_numpy(weight).item()


def test_the_benchmark_runs(tmp_path):
    out = tmp_path / "steps.json"
    command = [sys.executable, "-m", "benchmarks.steps", "--quick", "--models", "swin-keras"]
    spread = ["--distribute"] if keras.backend.backend() == "jax" else []
    run = subprocess.run(
        [*command, "--precision", "mixed_bfloat16", *spread, "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "ours mixed_bfloat16" in run.stdout
    assert "ratio" in run.stdout
    (row,) = json.loads(out.read_text())
    assert (row["model"], row["batch_size"]) == ("swin-keras", 2)
    assert row["backend"] == keras.backend.backend()
    assert {"python", "keras"} <= row["versions"].keys()
    assert row["cpus"] >= 1
    assert row["floor_seconds"] == row["macs_per_step"] / row["macs_per_second"]
    assert row["ratio"] > 0
    assert row["sides"].keys() == {"ours", "published"}
    for side in row["sides"].values():
        assert side["parameters"] == 162_996
        assert np.shape(side["seconds"]) == (2, 1)
        assert side["least_seconds"] <= side["median_seconds"]
        assert side["peak_bytes"] > 50 * 2**20


def test_the_pipeline_is_measured_with_and_without_workers(capsys):
    options = ["--batches", "2", "--steps", "1", "--workers", "0", "1"]
    pipeline.main(["swin-keras", *options])
    printed = capsys.readouterr().out
    for workers in (0, 1):
        speed = rf"^{workers} workers: [\d,]+ images per second"
        assert re.search(rf"{speed}; training waits \d+\.\d% of its time$", printed, re.M)


def test_augmentation_is_measured_on_the_host_and_on_the_device():
    """As it is run, with all of XLA's optimizations; it stops if the two paths differ."""
    environment = {name: x for name, x in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "benchmarks.augmentation", "--batches", "2"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, head, *rows = done.stdout.splitlines()
    assert head.split() == ["recipe", "host", "device:", "NumPy", "compiled", "both"]
    assert [row.split()[0] for row in rows] == ["vit-keras", "swin-paper"]
    for row in rows:
        assert re.fullmatch(r"[\w-]+( +[\d,]+){4}", row)
