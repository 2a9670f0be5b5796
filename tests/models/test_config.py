"""What every model's configuration checks, and what its first three fields do."""

from dataclasses import fields, replace

import keras
import numpy as np
import pytest
from keras import layers, ops
from samples import SMALL_SWIN, SMALL_VIT

from smallvit.models.convnet import ConvNetConfig, convolutional_network
from smallvit.models.cost import count_parameters
from smallvit.models.swin import SwinConfig, swin_transformer
from smallvit.models.vit import VitConfig, vision_transformer

SMALL = {
    "convnet": (convolutional_network, ConvNetConfig(image_size=8, embed_dim=4, final_dim=8)),
    "swin": (swin_transformer, SMALL_SWIN),
    "vit": (vision_transformer, SMALL_VIT),
    "vit mean": (vision_transformer, replace(SMALL_VIT, pool="mean")),
    "vit flatten": (vision_transformer, replace(SMALL_VIT, pool="flatten", head_dims=(6,))),
}
FEATURES = {"convnet": 8, "swin": 16, "vit": 8, "vit mean": 8, "vit flatten": 2 * 3 * 8}

COUNTS = ("channels", "num_classes", "embed_dim", "depth", "num_heads", "key_dim")
SIZES = ("image_size", "patch_size", "window_size")
TUPLES = ("depths", "num_heads", "head_dims")
RATES = ("attn_drop_rate", "hidden_drop_rate", "proj_drop_rate", "mlp_drop_rate", "head_drop_rate")
WRONG = [
    *((VitConfig, name, value) for name in COUNTS for value in (True, 2.0, None, "2", -1)),
    *((VitConfig, name, 0) for name in COUNTS if name != "num_classes"),
    *((SwinConfig, name, value) for name in SIZES for value in (True, 2.5, None, 0, -4, (4, 0))),
    *((SwinConfig, name, value) for name in SIZES for value in ((1, 2, 3), (4,), (4, None))),
    *((SwinConfig, name, value) for name in TUPLES[:2] for value in (2, (2, -1), (2.0,), "22")),
    *((VitConfig, "head_dims", value) for value in (5, (0,), (True,), None)),
    *((VitConfig, name, value) for name in RATES if name != "proj_drop_rate" for value in (1, "0")),
    *((SwinConfig, "proj_drop_rate", value) for value in (1.0, -0.1, None, True, float("nan"))),
    *((SwinConfig, "drop_path_rates", value) for value in (0.1, (0.1,), (0, 1), (0, 0.1, 0.2))),
    *((VitConfig, "mlp_ratio", value) for value in (0, -1.0, None, True, float("inf"))),
    *((VitConfig, "pool", value) for value in ("max", None, 0)),
    *((VitConfig, "temperature_as", value) for value in ("tau", None)),
    *((SwinConfig, "locality", value) for value in (1, None, "yes")),
    *((ConvNetConfig, "final_depth", value) for value in (0, 1.5)),
]


@pytest.mark.parametrize(("config", "name", "value"), WRONG)
def test_a_wrong_value_is_refused_in_one_sentence_that_names_the_field(config, name, value):
    with pytest.raises(ValueError, match=rf"{name}\b.* (must|have) .*; got .*\.$") as refusal:
        config(**{name: value})
    assert "\n" not in str(refusal.value)


def test_every_field_but_the_initializers_is_checked():
    unchecked = {
        field.name
        for config in (ConvNetConfig(), SwinConfig(), VitConfig())
        for field in fields(config)
        if accepts_anything(config, field.name)
    }
    assert all(name.endswith("_initializer") for name in unchecked)


def accepts_anything(config, name):
    try:
        replace(config, **{name: object()})
    except ValueError:
        return False
    return True


def test_numpys_integers_become_pythons():
    numbers = np.array([8, 12, 4, 2])
    config = VitConfig(image_size=numbers[:2].tolist(), patch_size=numbers[2], depth=numbers[3])
    assert (config.image_size, config.patch_size, config.depth) == ((8, 12), 4, 2)
    assert {type(config.patch_size), type(config.depth)} == {int}
    swin = SwinConfig(depths=[numbers[3]], num_heads=(numbers[3],), drop_path_rates=[0, 0.5])
    assert (swin.depths, swin.num_heads, swin.drop_path_rates) == ((2,), (2,), (0.0, 0.5))
    assert type(swin.depths[0]) is int


@pytest.mark.parametrize("name", SMALL)
def test_other_channels_than_three(rng, name):
    build, config = SMALL[name]
    model = build(replace(config, channels=5))
    images = rng.random((2, *model.input.shape[1:])).astype("float32")
    assert images.shape[-1] == 5
    assert model(images).shape == (2, config.num_classes)


@pytest.mark.parametrize("name", SMALL)
def test_without_classes_there_is_no_head_and_features_come_out(rng, name):
    build, config = SMALL[name]
    model, whole = build(replace(config, num_classes=0)), build(config)
    assert [layer.name for layer in model.layers if "head" in layer.name] == []
    assert model.output.shape == (None, FEATURES[name])
    copy_weights(whole, model)
    fed_to_the_head = whole.get_layer(model.layers[-1].name).output
    images = rng.random((2, *model.input.shape[1:])).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(images)),
        ops.convert_to_numpy(keras.Model(whole.input, fed_to_the_head)(images)),
        atol=1e-6,
    )


def copy_weights(source, target):
    values = {weight.path: weight for weight in source.weights}
    for weight in target.trainable_weights:
        weight.assign(values[weight.path])


@pytest.fixture
def channels_first():
    """What a `keras.json` can ask for; models compute with channels last all the same."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


@pytest.mark.parametrize("name", SMALL)
def test_channels_come_last_whatever_keras_is_set_to(rng, name, request):
    build, config = SMALL[name]
    usual = build(config)
    request.getfixturevalue("channels_first")
    model = build(config)
    assert count_parameters(model) == count_parameters(usual)
    copy_weights(usual, model)
    images = rng.random((2, *usual.input.shape[1:])).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(images)), ops.convert_to_numpy(usual(images)), atol=1e-6
    )


def rates_of(block):
    parts = (block.attn.attn_drop, block.attn.proj_drop, block.mlp.hidden_drop, block.mlp.proj_drop)
    return [part.rate for part in (*parts, block.drop_path1, block.drop_path2)]


def test_every_rate_reaches_its_own_dropout():
    rates = {"attn_drop_rate": 0.1, "hidden_drop_rate": 0.3, "drop_path_rates": (0.0, 0.5)}
    swin = swin_transformer(replace(SMALL_SWIN, proj_drop_rate=0.2, **rates))
    assert rates_of(swin.get_layer("stage2_block1")) == [0.1, 0.2, 0.3, 0.2, 0.5, 0.5]
    config = replace(SMALL_VIT, head_dims=(6,), mlp_drop_rate=0.4, head_drop_rate=0.6, **rates)
    vit = vision_transformer(config)
    assert rates_of(vit.get_layer("block2")) == [0.1, 0.0, 0.3, 0.4, 0.5, 0.5]
    assert [vit.get_layer(name).rate for name in ("head_drop1", "head_drop")] == [0.6, 0.6]


@pytest.mark.parametrize("shifted", [True, False])
def test_every_norm_has_the_configs_epsilon(shifted):
    tokens = {"shifted_patches": shifted, "input_norm": not shifted}
    model = vision_transformer(replace(SMALL_VIT, epsilon=1e-4, **tokens))
    norms = [
        layer for layer in model._flatten_layers() if isinstance(layer, layers.LayerNormalization)
    ]
    assert len(norms) == 2 * SMALL_VIT.depth + 2
    assert {norm.epsilon for norm in norms} == {1e-4}
