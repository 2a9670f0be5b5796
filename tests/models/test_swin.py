from dataclasses import replace

import keras
import numpy as np
import pytest
import reference
from keras import ops
from samples import PARAMETERS, SMALL_SWIN

from smallvit.models import swin
from smallvit.models.cost import count_parameters
from smallvit.models.swin import SWIN_KERAS, SwinConfig, swin_transformer
from smallvit.models.vit import vision_transformer
from smallvit.training.recipes import get_recipe


def set_published_weights(model, weights):
    """Give our model the reference's weights, layer by layer."""
    flat = [weights["embed.kernel"], weights["embed.bias"]]
    flat.append(weights["position"].reshape(model.get_layer("position_embedding").position.shape))
    model.get_layer("patch_embed").set_weights(flat[:2])
    model.get_layer("position_embedding").set_weights(flat[2:])
    for number, block in enumerate(weights["blocks"], start=1):
        layer = model.get_layer(f"stage1_block{number}")
        for name, value in block.items():
            if name == "relative_position_bias_table":
                layer.attn.relative_position_bias_table.assign(value)
                continue
            part, kind = name.split(".")
            owner = layer if part.startswith("norm") else layer.mlp if "fc" in part else layer.attn
            getattr(getattr(owner, part), kind).assign(value)
    model.get_layer("stage2_merging").reduction.kernel.assign(weights["reduction.kernel"])
    model.get_layer("head").set_weights([weights["head.kernel"], weights["head.bias"]])


def test_the_example_with_the_same_weights_gives_the_same_outputs(rng):
    weights = reference.random_published_weights(rng, "float32")
    model = swin_transformer(SWIN_KERAS)
    set_published_weights(model, weights)
    images = rng.random((3, 32, 32, 3)).astype("float32")
    probabilities = ops.convert_to_numpy(ops.softmax(model(images)))
    np.testing.assert_allclose(
        probabilities, reference.published_swin(images, weights), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("name", "parameters"), [(name, count) for name, count in PARAMETERS.items() if "SWIN" in name]
)
def test_trainable_parameters_are_as_published(name, parameters):
    model = swin_transformer(getattr(swin, name))
    assert count_parameters(model) == parameters


def test_without_a_position_embedding_a_vector_for_each_token_is_missing():
    with_it, without = (
        swin_transformer(replace(SMALL_SWIN, position_embedding=chosen)) for chosen in (True, False)
    )
    tokens, channels = (SMALL_SWIN.image_size // SMALL_SWIN.patch_size) ** 2, SMALL_SWIN.embed_dim
    assert count_parameters(with_it) - count_parameters(without) == tokens * channels


def test_only_every_second_block_shifts_and_none_where_the_window_covers_the_grid():
    model = swin_transformer(replace(SMALL_SWIN, depths=(2, 2)))  # grids 8 x 8 and 4 x 4, window 4
    shifts = [layer.shift_size for layer in model.layers if "block" in layer.name]
    assert shifts == [(0, 0), (2, 2), (0, 0), (0, 0)]


def test_drop_path_rates_grow_from_zero_to_the_last_block():
    model = swin_transformer(SMALL_SWIN)
    rates = [layer.drop_path for layer in model.layers if "block" in layer.name]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("image_size", "patch_size", "window_size"),
    [((20, 12), 2, (4, 3)), ((18, 14), (2, 2), 4), ((10, 30), (2, 3), (2, 5))],
)
def test_any_height_and_width(rng, image_size, patch_size, window_size):
    config = SwinConfig(
        image_size=image_size,
        patch_size=patch_size,
        window_size=window_size,
        embed_dim=8,
        depths=(2, 2, 1),
        num_heads=(1, 2, 4),
    )
    logits = swin_transformer(config)(rng.normal(size=(2, *image_size, 3)))
    assert logits.shape == (2, 100)
    assert np.isfinite(ops.convert_to_numpy(logits)).all()


@pytest.mark.parametrize("shifted_patches", [False, True])
def test_patches_need_not_be_square(shifted_patches):
    config = replace(SMALL_SWIN, patch_size=(2, 4), shifted_patches=shifted_patches)
    model = swin_transformer(config)
    assert model.get_layer("patch_embed").output.shape == (None, 8, 4, config.embed_dim)


def test_depths_and_heads_must_match():
    with pytest.raises(ValueError, match="depths and num_heads must have one element per stage"):
        SwinConfig(depths=(2, 2), num_heads=(3,))


def test_a_saved_model_loads_and_gives_the_same(rng, tmp_path):
    model = swin_transformer(SMALL_SWIN)
    images = rng.random((2, 16, 16, 3)).astype("float32")
    model.save(tmp_path / "swin.keras")
    loaded = keras.models.load_model(tmp_path / "swin.keras")
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(images)), ops.convert_to_numpy(model(images)), atol=1e-6
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_sl_swin_on_grids_of_16_8_and_4_stays_finite_and_loads(rng, tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    model = swin_transformer(
        SwinConfig(
            embed_dim=8,
            depths=(2, 2, 1),
            num_heads=(1, 2, 4),
            num_classes=5,
            shifted_patches=True,
            locality=True,
        )
    )
    assert [layer.input_resolution[0] for layer in model.layers if "block" in layer.name] == [
        *(16, 16, 8, 8, 4)
    ]
    images = rng.random((4, 32, 32, 3)).astype("float32")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)  # TensorFlow then traces the step once
    assert np.isfinite(model.fit(images, np.arange(4), verbose=0).history["loss"]).all()
    assert all(np.isfinite(ops.convert_to_numpy(weight)).all() for weight in model.weights)
    model.save(tmp_path / "sl-swin.keras")
    loaded = keras.models.load_model(tmp_path / "sl-swin.keras")
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(images)), ops.convert_to_numpy(model(images)), atol=1e-6
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_gives_float32_logits(rng, policy):
    keras.config.set_dtype_policy(policy)
    model = swin_transformer(SMALL_SWIN)
    block = model.get_layer("stage1_block2")
    assert block.compute_dtype == policy.removeprefix("mixed_")
    assert block.attn.qkv.compute_dtype == block.compute_dtype
    assert block.attn.relative_position_bias_table.dtype == "float32"
    loss = fit_one_step(model, rng)
    assert np.isfinite(loss)
    assert ops.dtype(model(np.zeros((1, 16, 16, 3)))) == "float32"


@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_weight_learns_with_and_without_jit(rng, jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("Keras's jit for torch is torch.compile, which needs a C++ compiler")
    model = swin_transformer(SMALL_SWIN)
    before = [ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
    assert np.isfinite(fit_one_step(model, rng, jit_compile=jit_compile))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert (ops.convert_to_numpy(weight) != old).any(), weight.path


def test_jit_changes_nothing(rng):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras's jit for torch is torch.compile, which needs a C++ compiler")
    model = swin_transformer(SMALL_SWIN)
    images = rng.random((2, 16, 16, 3)).astype("float32")
    model.compile(jit_compile=True)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), ops.convert_to_numpy(model(images)), atol=1e-5
    )


def fit_one_step(model, rng, **compile_arguments):
    images = rng.random((4, 16, 16, 3)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, **compile_arguments)
    model.optimizer.build(model.trainable_variables)  # TensorFlow then traces the step once
    return model.fit(images, np.arange(4), verbose=0).history["loss"][0]


def test_one_window_that_covers_the_grid_is_a_vit_with_a_relative_position_bias(rng):
    """With tables of zeros the two are the same function of the same weights."""
    swin_model, vit_model = (
        swin_transformer(get_recipe("ladder-vit-bias").model),
        vision_transformer(get_recipe("ladder-vit").model),
    )
    values = {weight.path: weight for weight in vit_model.weights}
    for weight in swin_model.weights:
        path = weight.path.replace("stage1_", "")
        if not path.endswith("relative_position_bias_table"):
            value = rng.normal(0, 0.3, weight.shape)
            weight.assign(value)
            values[path].assign(np.reshape(value, values[path].shape))
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    found, expected = (ops.convert_to_numpy(m(images)) for m in (swin_model, vit_model))
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-4)


def test_windows_that_are_not_shifted_are_masked_nowhere():
    for shifted in (True, False):
        model = swin_transformer(replace(SMALL_SWIN, shifted_windows=shifted))
        blocks = [model.get_layer(f"stage1_block{number}") for number in (1, 2)]
        assert [block.attn_mask is not None for block in blocks] == [False, shifted]
