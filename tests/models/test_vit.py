import dataclasses

import keras
import numpy as np
import pytest
from keras import ops
from samples import PARAMETERS, SMALL_VIT

from smallvit.models import vit
from smallvit.models.cost import count_parameters
from smallvit.models.vit import VitConfig, vision_transformer


@pytest.mark.parametrize(
    ("name", "parameters"), [(name, count) for name, count in PARAMETERS.items() if "VIT" in name]
)
def test_trainable_parameters_are_as_published(name, parameters):
    model = vision_transformer(getattr(vit, name))
    assert count_parameters(model) == parameters


def test_the_class_token_is_read_by_the_head_alone(rng):
    model = vision_transformer(SMALL_VIT)
    tokens = keras.Model(model.input, model.get_layer("block2").output)
    images = rng.random((3, 8, 12, 3)).astype("float32")
    sequence = tokens(images)
    assert sequence.shape == (3, 1 + 2 * 3, 8)
    first = ops.convert_to_numpy(model.get_layer("norm")(sequence))[:, 0]
    kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer("head").weights)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(images)), first @ kernel + bias, atol=1e-5
    )


def test_without_a_class_token_the_head_reads_all_tokens():
    config = dataclasses.replace(SMALL_VIT, pool="flatten", head_dims=(7,))
    model = vision_transformer(config)
    assert model.get_layer("head_hidden1").kernel.shape == (2 * 3 * 8, 7)


def test_with_mean_pooling_the_head_reads_the_mean_of_all_tokens(rng):
    model = vision_transformer(dataclasses.replace(SMALL_VIT, pool="mean"))
    tokens = keras.Model(model.input, model.get_layer("norm").output)
    images = rng.random((3, 8, 12, 3)).astype("float32")
    mean = ops.convert_to_numpy(tokens(images)).mean(axis=1)
    kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer("head").weights)
    np.testing.assert_allclose(ops.convert_to_numpy(model(images)), mean @ kernel + bias, atol=1e-5)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="pool must be 'token', 'mean' or 'flatten'; got 'max'"):
        VitConfig(pool="max")


def test_temperatures_and_every_other_weight_learn(rng):
    model = vision_transformer(SMALL_VIT)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = {w.path: ops.convert_to_numpy(w).copy() for w in model.trainable_weights}
    assert sum("temperature" in path for path in before) == 2
    model.fit(rng.random((4, 8, 12, 3)).astype("float32"), np.arange(4), epochs=2, verbose=0)
    for weight in model.trainable_weights:
        assert (ops.convert_to_numpy(weight) != before[weight.path]).any(), weight.path


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_a_saved_model_loads_and_gives_the_same(rng, tmp_path, suffix):
    model = vision_transformer(SMALL_VIT)
    for layer in ("block1", "block2"):
        model.get_layer(layer).attn.temperature.assign(rng.random((2, 1)))
    images = rng.random((2, 8, 12, 3)).astype("float32")
    path = tmp_path / f"vit{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
        loaded = vision_transformer(SMALL_VIT)
        loaded.load_weights(path)
    else:
        model.save(path)
        loaded = keras.models.load_model(path)
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(images)), ops.convert_to_numpy(model(images)), atol=1e-6
    )


def test_drop_path_rates_lead_from_the_first_block_to_the_last():
    rates = {
        "every block's": vit.VIT_PAPER.drop_path_rates,
        "growing": (0.0, 0.2),
    }
    found = {}
    for name, pair in rates.items():
        config = dataclasses.replace(SMALL_VIT, depth=3, drop_path_rates=pair)
        model = vision_transformer(config)
        found[name] = [model.get_layer(f"block{n}").drop_path for n in (1, 2, 3)]
    assert found == {"every block's": [0.1, 0.1, 0.1], "growing": [0.0, 0.1, 0.2]}
