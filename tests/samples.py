"""Small models, runs and records that several test files share."""

import dataclasses

import numpy as np
from keras import ops

from smallvit.data.cifar import CIFAR100
from smallvit.data.datasets import Dataset, paint_dataset
from smallvit.models.swin import SwinConfig
from smallvit.models.vit import VitConfig
from smallvit.training.recipes import Cosine, get_recipe
from smallvit.training.records import Record

PARAMETERS = {
    "SWIN_KERAS": 162_996,
    "SWIN_FIXED": 162_996,
    "SWIN_PAPER": 7_107_838,
    "S_SWIN_PAPER": 8_596_726,
    "L_SWIN_PAPER": 7_107_928,
    "SL_SWIN_PAPER": 8_596_816,
    "VIT_KERAS": 21_759_012,
    "SL_VIT_KERAS": 21_787_748,
    "VIT_PAPER": 2_709_796,
    "S_VIT_PAPER": 2_747_140,
    "L_VIT_PAPER": 2_709_904,
    "SL_VIT_PAPER": 2_747_248,
}
"""Trainable parameters of the published models, by the constant that configures each."""

SMALL_SWIN = SwinConfig(
    image_size=16,
    embed_dim=8,
    depths=(2, 1),
    num_heads=(2, 4),
    window_size=4,
    num_classes=5,
    attn_drop_rate=0.1,
    drop_path_rates=(0.0, 0.2),
)

SMALL_VIT = VitConfig(
    image_size=(8, 12),
    patch_size=4,
    embed_dim=8,
    depth=2,
    num_heads=2,
    key_dim=4,
    num_classes=5,
    shifted_patches=True,
    locality=True,
    attn_drop_rate=0.1,
)

RECORD = Record(
    recipe="swin-keras",
    config={"epochs": 1},
    dataset="shapes100",
    published_data=False,
    classes=["square", "ring"],
    image_size=[32, 32],
    seed=0,
    epochs=1,
    history=[{"epoch": 1, "loss": 4.6, "seconds": 1.5}],
    test={"loss": 4.6, "top1": 0.01, "top5": 0.05},
    parameters=162_996,
    backend="tensorflow",
    precision="float32",
    sittings=[
        {"commit": None, "device": "a processor", "versions": {"python": "3.13"}, "epochs": 1}
    ],
    data_fingerprint="0" * 64,
    command="python -m smallvit train swin-keras",
)

TINY = dataclasses.replace(
    get_recipe("swin-keras"),
    name="tiny",
    model=SwinConfig(
        image_size=8, embed_dim=8, depths=(1,), num_heads=(2,), window_size=2, attn_drop_rate=0.1
    ),
    epochs=3,
    batch_size=10,  # divides all parts of `tiny_dataset`: one shape to compile for
    shuffle=True,
    schedule=Cosine(),
)

TINY_VIT = VitConfig(image_size=8, embed_dim=8, depth=1, num_heads=2, key_dim=4, locality=True)

TINY_PAPER = dataclasses.replace(
    get_recipe("sl-vit-paper"), name="tiny", model=TINY_VIT, epochs=2, batch_size=32
)


def cifar100_stub():
    """A dataset that passes for the published CIFAR-100, of two images."""
    split = (np.zeros((2, 32, 32, 3), "uint8"), np.array([0, 99]))
    stub = Dataset("cifar100", CIFAR100.classes, split, split, published=True)
    vars(stub).update(
        fingerprint="30324f75ecaa0f624929a77160ee2d7ad11e604148951c26609d42eb51cef6ff",
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    )
    return stub


def tiny_dataset():
    return paint_dataset(100, 40, image_size=8)


def reference_attention_weights(layer):
    """The layer's weights under the reference's names."""
    names = {
        "qkv.kernel": layer.qkv.kernel,
        "qkv.bias": layer.qkv.bias,
        "relative_position_bias_table": layer.relative_position_bias_table,
        "proj.kernel": layer.proj.kernel,
        "proj.bias": layer.proj.bias,
    }
    return {name: ops.convert_to_numpy(w) for name, w in names.items() if w is not None}


def randomise(layer, rng):
    """Give every weight a value that is neither 0 nor 1, biases and tables too."""
    for weight in layer.weights:
        if weight.trainable:
            weight.assign(rng.normal(size=weight.shape) * 0.3)


def without_times(record):
    """Without what two runs of the same settings may differ in.

    The weights file's checksum is such a thing: Keras writes names into it that it counts up.
    """
    timed = ("seconds", "step_seconds")
    history = [{k: v for k, v in epoch.items() if k not in timed} for epoch in record.history]
    return {**dataclasses.asdict(record), "weights": None, "history": history}
