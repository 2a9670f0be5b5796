import keras
import numpy as np
import pytest
import reference
from keras import ops
from samples import randomise, reference_attention_weights

from smallvit.layers.blocks import DropPath, Mlp, SwinTransformerBlock, TransformerBlock
from smallvit.layers.patches import PatchMerging


def reference_block_weights(block):
    layers = {
        "norm1": block.norm1,
        "norm2": block.norm2,
        "fc1": block.mlp.fc1,
        "fc2": block.mlp.fc2,
    }
    named = {
        f"{name}.{weight.name}": ops.convert_to_numpy(weight)
        for name, layer in layers.items()
        for weight in layer.weights
    }
    return named | reference_attention_weights(block.attn)


def built_block(rng, grid, window, shift, channels=8, **kwargs):
    block = SwinTransformerBlock(2, window, shift, mlp_ratio=2, **kwargs)
    block.build((None, *grid, channels))
    randomise(block, rng)
    return block


@pytest.mark.parametrize(
    ("grid", "window", "shift"),
    [
        ((4, 4), (2, 2), (0, 0)),
        ((4, 4), (2, 2), (1, 1)),
        ((8, 8), (4, 4), (2, 2)),
        ((4, 6), (2, 3), (1, 2)),
        ((6, 4), (3, 2), (0, 1)),
    ],
)
def test_block_against_numpy(rng, grid, window, shift):
    block = built_block(rng, grid, window, shift)
    x = rng.normal(size=(2, *grid, 8)).astype("float32")
    expected = reference.swin_block(
        x.reshape(2, -1, 8), reference_block_weights(block), grid, window, shift, 2
    )
    actual = ops.convert_to_numpy(block(x)).reshape(expected.shape)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("grid", "window", "shift"),
    [
        ((5, 7), (4, 4), (2, 2)),
        ((7, 7), (3, 3), (1, 1)),
        ((5, 4), (2, 4), (1, 0)),
        ((9, 5), (4, 3), (2, 1)),
        ((6, 5), (4, 4), (0, 0)),
    ],
)
def test_a_padded_grid_gives_what_its_valid_tokens_give_alone(rng, grid, window, shift):
    block = built_block(rng, grid, window, shift)
    x = rng.normal(size=(2, *grid, 8)).astype("float32")
    weights = reference_block_weights(block)
    normed = reference.layer_norm(x, weights["norm1.gamma"], weights["norm1.beta"])
    y = x + reference.padded_window_attention(normed, weights, window, shift, 2)
    hidden = reference.layer_norm(y, weights["norm2.gamma"], weights["norm2.beta"])
    hidden = reference.gelu(reference.dense(hidden, weights["fc1.kernel"], weights["fc1.bias"]))
    expected = y + reference.dense(hidden, weights["fc2.kernel"], weights["fc2.bias"])
    np.testing.assert_allclose(ops.convert_to_numpy(block(x)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("grid", "window", "shift"), [((4, 4), (2, 2), (1, 1)), ((6, 4), (3, 2), (1, 1))]
)
def test_a_pixel_moves_exactly_the_outputs_it_shares_a_window_with(rng, grid, window, shift):
    block = built_block(rng, grid, window, shift)
    x = rng.normal(size=(1, *grid, 8)).astype("float32")
    before = ops.convert_to_numpy(block(x)).reshape(-1, 8)
    support = reference.attention_support_by_pixels(grid, window, shift)
    perturbed = np.repeat(x, grid[0] * grid[1], axis=0)
    for place in range(len(perturbed)):
        perturbed[place].reshape(-1, 8)[place, 0] += 1.0  # one channel: the norm undoes all
    after = ops.convert_to_numpy(block(perturbed)).reshape(len(perturbed), -1, 8)
    moved = np.abs(after - before).max(axis=-1) > 1e-6
    np.testing.assert_array_equal(moved.T, support)


def test_a_window_larger_than_the_grid_is_cut_and_not_shifted(rng):
    block = built_block(rng, (3, 4), (7, 4), (3, 2))
    assert (block.window_size, block.shift_size, block.attn_mask) == ((3, 4), (0, 0), None)
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    expected = reference.swin_block(
        x.reshape(2, 12, 8), reference_block_weights(block), (3, 4), (3, 4), (0, 0), 2
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(block(x)).reshape(2, 12, 8), expected, atol=1e-5
    )


def test_mlp_against_numpy(rng):
    layer = Mlp(6)
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    layer.build(x.shape)
    randomise(layer, rng)
    kernel1, bias1, kernel2, bias2 = (ops.convert_to_numpy(w) for w in layer.weights)
    hidden = reference.gelu(reference.dense(x, kernel1, bias1))
    expected = reference.dense(hidden, kernel2, bias2)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=1e-5)


def test_drop_path_keeps_or_drops_a_sample_whole():
    x = np.ones((1000, 3, 2), "float32")
    y = ops.convert_to_numpy(DropPath(0.25, seed=1)(x, training=True))
    kept = y[:, 0, 0] != 0
    np.testing.assert_allclose(y, np.where(kept[:, None, None], 1 / 0.75, 0) * x, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 4 * (0.75 * 0.25 / 1000) ** 0.5  # four standard errors


def test_drop_path_draws_afresh_each_time():
    layer, x = DropPath(0.5, seed=1), np.ones((64, 1), "float32")
    first, second = (ops.convert_to_numpy(layer(x, training=True)) for _ in range(2))
    assert (first != second).any()


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_drop_path_is_off_at_inference_and_at_rate_zero(rng, rate, training):
    x = rng.normal(size=(8, 3)).astype("float32")
    y = DropPath(rate)(x, training=training)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), x)


def test_drop_path_drops_as_often_in_bfloat16():
    layer, x = DropPath(0.009, seed=1, dtype="bfloat16"), np.ones((100_000, 1))
    y = layer(ops.cast(x, "bfloat16"), training=True)
    dropped = 1 - np.count_nonzero(ops.convert_to_numpy(ops.cast(y, "float32"))) / len(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert abs(dropped - 0.009) < 4 * (0.009 * 0.991 / len(x)) ** 0.5  # four standard errors


@pytest.mark.parametrize("rate", [-0.1, 1.0, "0.1"])
def test_drop_path_refuses_a_rate_out_of_range(rate):
    with pytest.raises(ValueError, match="rate must be a number of at least 0 and less than 1"):
        DropPath(rate)


@pytest.mark.parametrize(
    "layer",
    [
        DropPath(0.2, seed=3),
        Mlp(8, 0.1, 0.2, out_activation="gelu"),
        TransformerBlock(
            *(2, 4, 3.0, False, 0.1, 0.2, 0.3, 0.4, 0.5, True),
            *("divisor", "layer", "gelu", 1e-6),
            kernel_initializer="zeros",
        ),
        SwinTransformerBlock(2, (2, 3), (1, 0), mlp_ratio=3.0, locality=True, drop_path=0.1),
    ],
)
def test_a_layer_comes_back_from_its_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()


def test_adamw_sees_the_square_of_every_gradient(rng):
    # On TensorFlow, a gradient that is a list of rows would be squared row by row.
    inputs = keras.Input((4, 6, 8))
    x = SwinTransformerBlock(2, (2, 3), (1, 1), mlp_ratio=2, locality=True)(inputs)
    x = SwinTransformerBlock(2, (2, 3), mlp_ratio=2)(x)
    model = keras.Model(inputs, PatchMerging(4)(x))
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    start = [ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    x, y = rng.normal(size=(5, 4, 6, 8)), rng.normal(size=(5, 2, 3, 4))

    # A step of plain gradient descent shows the gradient, whatever the backend.
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.train_on_batch(x, y)
    gradients = [
        old - ops.convert_to_numpy(w) for old, w in zip(start, model.trainable_weights, strict=True)
    ]
    for weight, value in zip(model.trainable_weights, start, strict=True):
        weight.assign(value)
    optimizer = keras.optimizers.AdamW(weight_decay=0.0)
    model.compile(optimizer, "mse")
    model.train_on_batch(x, y)
    velocities = [v for v in optimizer.variables if v.path.endswith("_velocity")]
    assert len(velocities) == len(gradients)
    for weight, gradient, velocity in zip(
        model.trainable_weights, gradients, velocities, strict=True
    ):
        second_moment = ops.convert_to_numpy(velocity) / (1 - optimizer.beta_2)
        assert np.abs(gradient).max() > 1e-4, weight.path
        np.testing.assert_allclose(
            second_moment, gradient**2, rtol=1e-2, atol=1e-7, err_msg=weight.path
        )


@pytest.mark.parametrize("name", ["attn_drop", "proj_drop", "hidden_drop", "mlp_drop", "drop_path"])
def test_each_drop_acts_in_training(rng, name):
    block = TransformerBlock(2, **{name: 0.5})
    x = rng.normal(size=(16, 4, 8)).astype("float32")
    still, moving = (ops.convert_to_numpy(block(x, training=t)) for t in (False, True))
    assert np.abs(moving - still).max() > 0.01
    if name == "drop_path":  # samples that lose both branches come back as they were
        assert (moving == x).all(axis=(1, 2)).any()


@pytest.mark.parametrize("ratio", ["4", True, float("nan"), 0, None])
def test_a_bad_ratio_is_named(ratio):
    with pytest.raises(ValueError, match=r"^mlp_ratio must be a number above 0 and below 1e9; got"):
        TransformerBlock(2, mlp_ratio=ratio)


def test_hidden_channels_are_rounded_not_cut():
    block = TransformerBlock(2, mlp_ratio=1.15)
    block.build((None, 4, 100))
    assert block.mlp.hidden_dim == 115


def test_locality_is_true_or_false():
    with pytest.raises(ValueError, match=r"^locality must be False or True; got 'yes'"):
        TransformerBlock(2, locality="yes")
