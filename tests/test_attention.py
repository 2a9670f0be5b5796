import keras
import numpy as np
import pytest
import reference
from keras import ops

from smallvit.attention import WindowAttention, attend
from smallvit.masks import get_attn_mask


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


def test_attention_weights_sum_to_one_and_mix_the_values(rng):
    query, key, value = rng.normal(size=(3, 2, 4, 5)).astype("float32")
    bias = rng.normal(size=(4, 4)).astype("float32")
    mixed, weights = attend(*map(ops.convert_to_tensor, (query, key, value, bias)))
    expected = reference.softmax(query @ key.swapaxes(1, 2) + bias)
    np.testing.assert_allclose(ops.convert_to_numpy(weights), expected, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(mixed), expected @ value, atol=1e-5)


@pytest.mark.parametrize(
    ("grid", "window", "shift", "qkv_bias"),
    [
        ((4, 4), (2, 2), (0, 0), True),
        ((4, 4), (2, 2), (1, 1), True),
        ((4, 6), (2, 3), (1, 1), False),
        ((8, 4), (4, 2), (2, 0), True),
    ],
)
def test_window_attention_against_numpy(rng, grid, window, shift, qkv_bias):
    layer = WindowAttention(window, num_heads=2, qkv_bias=qkv_bias)
    num_windows = grid[0] * grid[1] // (window[0] * window[1])
    x = rng.normal(size=(3 * num_windows, window[0] * window[1], 8)).astype("float32")
    layer.build(x.shape)
    randomise(layer, rng)
    mask = get_attn_mask(grid, window, shift)
    expected = reference.window_attention(x, reference_attention_weights(layer), window, 2, mask)
    actual = ops.convert_to_numpy(layer(x, attn_mask=mask))
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="num_heads must divide the channels; got 3 heads for 8"):
        WindowAttention(2, num_heads=3)(np.zeros((1, 4, 8)))


def test_dropout_works_in_training_only(rng):
    layer = WindowAttention(2, 2, attn_drop=0.5, proj_drop=0.5)
    x = rng.normal(size=(4, 4, 8)).astype("float32")
    still = [ops.convert_to_numpy(layer(x)) for _ in range(2)]
    moving = [ops.convert_to_numpy(layer(x, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert np.abs(moving[0] - moving[1]).max() > 0.01


def test_window_attention_comes_back_from_its_config():
    layer = WindowAttention((2, 3), 4, qkv_bias=False, attn_drop=0.1, proj_drop=0.2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
