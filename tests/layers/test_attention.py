import keras
import numpy as np
import pytest
import reference
from keras import ops
from samples import randomise, reference_attention_weights

from smallvit.layers.attention import (
    LocalitySelfAttention,
    LocalityWindowAttention,
    SelfAttention,
    WindowAttention,
    attend,
)
from smallvit.layers.masks import get_attn_mask


@pytest.mark.parametrize("num_tokens", [4, 12])  # TensorFlow computes few tokens in another way
def test_attention_weights_sum_to_one_and_mix_the_values(rng, num_tokens):
    batch, windows, heads = 2, 3, 2
    shape = (3, batch * windows, num_tokens, heads, 5)
    query, key, value = rng.normal(size=shape).astype("float32")
    bias = rng.normal(size=(1, heads, num_tokens, num_tokens)).astype("float32")
    mask = rng.normal(size=(windows, num_tokens, num_tokens)).astype("float32")
    arguments = map(ops.convert_to_tensor, (query, key, value, bias, mask))
    mixed, weights = map(ops.convert_to_numpy, attend(*arguments))
    assert weights.shape == (batch, windows, heads, num_tokens, num_tokens)
    for image, window, head in np.ndindex(batch, windows, heads):
        q, k, v = (x[image * windows + window, :, head] for x in (query, key, value))
        expected = reference.softmax(q @ k.T + bias[0, head] + mask[window])
        np.testing.assert_allclose(weights[image, window, head], expected, atol=1e-5)
        mixed_here = mixed[image * windows + window, :, head]
        np.testing.assert_allclose(mixed_here, expected @ v, atol=1e-5)


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
    layer = WindowAttention(2, window, qkv_bias=qkv_bias)
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
        WindowAttention(3, 2)(np.zeros((1, 4, 8)))


def test_dropout_works_in_training_only(rng):
    layer = WindowAttention(2, 2, attn_drop=0.5, proj_drop=0.5)
    x = rng.normal(size=(4, 4, 8)).astype("float32")
    still = [ops.convert_to_numpy(layer(x)) for _ in range(2)]
    moving = [ops.convert_to_numpy(layer(x, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert np.abs(moving[0] - moving[1]).max() > 0.01


def without_locality():
    return LocalitySelfAttention(3, 4, diagonal_mask=False, learnable_temperature=False)


@pytest.mark.parametrize("ours", [SelfAttention(3, 4), without_locality()])
def test_without_locality_it_is_keras_attention(rng, ours):
    x = rng.normal(size=(2, 5, 12)).astype("float32")
    ours.build(x.shape)
    randomise(ours, rng)
    theirs = keras.layers.MultiHeadAttention(3, 4)
    theirs.build(x.shape, x.shape)
    kernels = np.split(ops.convert_to_numpy(ours.qkv.kernel), 3, axis=-1)
    biases = np.split(ops.convert_to_numpy(ours.qkv.bias), 3)
    weights = [array for pair in zip(kernels, biases, strict=True) for array in pair]
    weights += [ops.convert_to_numpy(w) for w in ours.proj.weights]
    theirs.set_weights([w.reshape(t.shape) for w, t in zip(weights, theirs.weights, strict=True)])
    expected, expected_weights = theirs(x, x, return_attention_scores=True)
    actual, actual_weights = ours(x, return_attention_scores=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(actual), ops.convert_to_numpy(expected), atol=1e-5
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(actual_weights)[:, 0],
        ops.convert_to_numpy(expected_weights),
        atol=1e-5,
    )


def test_with_locality_no_token_looks_at_itself_and_the_others_share_the_weight(rng):
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    layer = LocalitySelfAttention(2, 4)
    _, weights = layer(x, return_attention_scores=True)
    weights = ops.convert_to_numpy(weights)
    assert weights.shape == (2, 1, 2, 5, 5)
    assert (np.diagonal(weights, axis1=-2, axis2=-1) == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize(("per", "count"), [("head", 2), ("layer", 1)])
@pytest.mark.parametrize(("acts_as", "power"), [("multiplier", 1), ("divisor", -1)])
def test_the_temperature_scales_the_scores_head_by_head(rng, per, count, acts_as, power):
    x = rng.normal(size=(1, 4, 8)).astype("float32")
    layer = LocalitySelfAttention(2, 4, temperature_as=acts_as, temperature_per=per, qkv_bias=False)
    layer.build(x.shape)
    assert layer.temperature.shape == (count, 1)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.temperature), 4 ** (-0.5 * power))
    temperature = np.linspace(0.5, 2, count).astype("float32")[:, None]
    layer.temperature.assign(temperature)
    query, key, _ = np.split(x @ ops.convert_to_numpy(layer.qkv.kernel), 3, axis=-1)
    query, key = (a.reshape(4, 2, 4).swapaxes(0, 1) for a in (query, key))
    scores = temperature[..., None] ** power * (query @ key.swapaxes(1, 2))
    scores[:, np.eye(4, dtype=bool)] = -np.inf
    _, weights = layer(x, return_attention_scores=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(weights)[0, 0], reference.softmax(scores), atol=1e-5
    )


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_the_examples_temperature_moves_as_its_tau_does(name):
    # Attention with one head of one channel, all else fixed: a function of tau alone.
    x = np.array([[[1.0], [2.0], [4.0]]], "float32")
    layer = LocalitySelfAttention(1, 64, temperature_as="divisor")
    layer.build(x.shape)
    layer.qkv.kernel.assign(np.full(layer.qkv.kernel.shape, 0.5))
    layer.proj.kernel.assign(np.full(layer.proj.kernel.shape, 1 / 64))
    layer.qkv.trainable = layer.proj.trainable = False
    model = keras.Sequential([keras.Input((3, 1)), layer])
    rate = {"SGD": 1.0, "Adam": 1e-3}[name]
    model.compile(
        keras.optimizers.get({"class_name": name, "config": {"learning_rate": rate}}),
        loss=lambda _, y: ops.sum(y),
    )

    def loss(tau):
        """What the example computes: scores divided by tau, the diagonal masked."""
        tokens = x[0, :, 0].astype("float64") * 0.5
        scores = np.where(np.eye(3), -1e9, 64 * np.outer(tokens, tokens) / tau)
        return (reference.softmax(scores) @ tokens).sum()

    gradient = (loss(8 + 1e-4) - loss(8 - 1e-4)) / 2e-4
    assert abs(gradient) > 1e-4
    model.train_on_batch(x, x)
    step = {"SGD": gradient, "Adam": np.sign(gradient)}[name] * rate
    assert ops.convert_to_numpy(layer.temperature).item() - 8 == pytest.approx(-step, rel=0.02)


def test_a_large_temperature_does_not_lift_the_diagonal_mask(rng):
    x = 10 * rng.normal(size=(1, 6, 8)).astype("float32")
    layer = LocalitySelfAttention(1, 8)
    layer.build(x.shape)
    kernel = np.concatenate([np.eye(8), np.eye(8), np.eye(8)], axis=1)  # each token its own key
    layer.qkv.kernel.assign(kernel)
    layer.temperature.assign([[1.0]])
    _, weights = layer(x, return_attention_scores=True)
    weights = ops.convert_to_numpy(weights)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert (np.diagonal(weights, axis1=-2, axis2=-1) == 0).all()


def test_a_token_left_alone_looks_at_nothing(rng):
    mask = get_attn_mask((4, 4), 2, 1)
    layer = LocalityWindowAttention(2, 2)
    x = rng.normal(size=(4, 4, 8)).astype("float32")
    layer.build(x.shape)
    randomise(layer, rng)
    output, weights = layer(x, attn_mask=mask, return_attention_scores=True)
    lone_window = ops.convert_to_numpy(weights)[0, 3]
    assert (lone_window == 0).all()
    np.testing.assert_allclose(
        ops.convert_to_numpy(output)[3],
        np.tile(ops.convert_to_numpy(layer.proj.bias), (4, 1)),
        atol=1e-6,
    )


@pytest.mark.parametrize(("acts_as", "power"), [("multiplier", 1), ("divisor", -1)])
def test_locality_in_windows_against_numpy(rng, acts_as, power):
    layer = LocalityWindowAttention(2, (2, 3), temperature_as=acts_as)
    x = rng.normal(size=(8, 6, 8)).astype("float32")
    layer.build(x.shape)
    randomise(layer, rng)
    layer.temperature.assign([[0.5], [2.0]])
    mask = get_attn_mask((4, 6), (2, 3), 1)
    query, key, _ = np.split(ops.convert_to_numpy(layer.qkv(x)), 3, axis=-1)
    query, key = (a.reshape(2, 4, 6, 2, 4).swapaxes(2, 3) for a in (query, key))
    factors = np.reshape([0.5, 2.0], (2, 1, 1)) ** power
    table = ops.convert_to_numpy(layer.relative_position_bias_table)
    bias = table[reference.relative_position_index_by_loops((2, 3))].transpose(2, 0, 1)
    scores = factors * (query @ key.swapaxes(-1, -2)) + bias  # (images, windows, heads, N, N)
    forbidden = (mask < 0)[:, None] | np.eye(6, dtype=bool)
    expected = np.exp(np.where(forbidden, -np.inf, scores))
    expected /= np.maximum(expected.sum(axis=-1, keepdims=True), 1e-30)  # a lone token's are 0
    assert (expected.sum(axis=-1) == 0).any()
    np.testing.assert_allclose(attention_weights(layer, x, mask), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("argument", "choices"),
    [("temperature_per", "'head' or 'layer'"), ("temperature_as", "'multiplier' or 'divisor'")],
)
def test_a_temperature_of_another_kind_is_refused(argument, choices):
    with pytest.raises(ValueError, match=f"{argument} must be {choices}; got 'token'"):
        LocalitySelfAttention(2, **{argument: "token"})


@pytest.mark.parametrize(
    "layer",
    [
        SelfAttention(2, 3, kernel_initializer=keras.initializers.RandomNormal(stddev=0.02)),
        LocalitySelfAttention(
            2, 3, diagonal_mask=False, temperature_as="divisor", temperature_per="layer"
        ),
        WindowAttention(4, (2, 3), qkv_bias=False, attn_drop=0.1, proj_drop=0.2),
        LocalityWindowAttention(4, 2, relative_position_bias_initializer="ones", key_dim=3),
    ],
)
def test_a_layer_comes_back_from_its_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def attention_weights(layer, x, attn_mask):
    _, weights = layer(x, attn_mask=attn_mask, return_attention_scores=True)
    return ops.convert_to_numpy(weights)


@pytest.mark.parametrize("layer", [SelfAttention(2), WindowAttention(2, (1, 4))])
def test_true_in_a_mask_lets_attend_and_false_forbids(rng, layer):
    x = rng.normal(size=(6, 4, 8)).astype("float32")
    may = rng.random((3, 4, 4)) < 0.5
    may[0, 1] = False  # one token is left with nothing
    weights = attention_weights(layer, x, may)
    assert (weights[np.broadcast_to(~may[None, :, None], weights.shape)] == 0).all()
    left = may.any(axis=-1)[None, :, None]
    np.testing.assert_allclose(weights.sum(-1), np.broadcast_to(left, (2, 3, 2, 4)), atol=1e-6)
    added = np.where(may, 0, -np.inf)
    np.testing.assert_array_equal(weights, attention_weights(layer, x, added))


def test_a_soft_bias_and_the_diagonal_mask_leave_the_other_weights(rng):
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    soft = rng.normal(size=(1, 5, 5)).astype("float32")
    layer = LocalitySelfAttention(2)
    weights = attention_weights(layer, x, soft)
    assert (np.diagonal(weights, axis1=-2, axis2=-1) == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    plain = attention_weights(layer, x, np.zeros_like(soft))
    expected = plain * np.exp(soft[:, None])
    np.testing.assert_allclose(weights, expected / expected.sum(-1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_minus_infinity_in_a_mask_gives_no_nan(rng, dtype):
    mask = np.full((1, 4, 4), -np.inf)
    mask[0, :2, :2] = 0
    x = rng.normal(size=(2, 4, 8)).astype("float32")
    weights = attention_weights(SelfAttention(2, dtype=dtype), x, mask).astype("float32")
    np.testing.assert_allclose(weights.sum(-1)[..., :2], 1, atol=0.01)
    assert (weights[..., 2:, :] == 0).all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((1, 4, 4), "int32"), r"attn_mask must hold booleans .* or floats .*; got int32"),
        (np.ones((4, 4), bool), r"attn_mask must be \(num_windows, 4, 4\); got shape \(4, 4\)"),
        (np.zeros((1, 1, 1)), r"attn_mask must be \(num_windows, 4, 4\); got shape \(1, 1, 1\)"),
        (np.zeros((3, 4, 4)), r"attn_mask's 3 windows do not divide 2 sequences"),
    ],
)
def test_a_mask_that_does_not_fit_gets_one_sentence(mask, message):
    with pytest.raises(ValueError, match=message):
        SelfAttention(2)(np.zeros((2, 4, 8), "float32"), attn_mask=mask)


def test_attend_returns_the_weights_before_dropout(rng):
    query, key, value = rng.normal(size=(3, 2, 5, 2, 4)).astype("float32")
    mixed, weights = attend(query, key, value, 0.0, None, lambda weights: 0 * weights)
    np.testing.assert_allclose(ops.convert_to_numpy(weights).sum(axis=-1), 1, atol=1e-6)
    assert not ops.convert_to_numpy(mixed).any()


def test_windows_need_not_divide_the_batch_that_keras_traces_with(rng):
    mask, layer, inputs = get_attn_mask((4, 4), 2, 1), WindowAttention(2, 2), keras.Input((4, 8))
    output, weights = layer(inputs, attn_mask=mask, return_attention_scores=True)
    assert (output.shape, weights.shape) == ((None, 4, 8), (None, 4, 2, 4, 4))
    x = rng.normal(size=(8, 4, 8)).astype("float32")
    found, expected = keras.Model(inputs, output)(x), layer(x, attn_mask=mask)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), atol=1e-6
    )


def test_a_mask_per_sample_can_be_an_input(rng):
    inputs, masks, layer = keras.Input((4, 8)), keras.Input((4, 4), dtype="bool"), SelfAttention(2)
    model = keras.Model([inputs, masks], layer(inputs, attn_mask=masks))
    x, may = rng.normal(size=(6, 4, 8)).astype("float32"), rng.random((6, 4, 4)) < 0.5
    expected = ops.convert_to_numpy(layer(x, attn_mask=may))
    np.testing.assert_allclose(model.predict([x, may], verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("forbidden", [-100.0, -np.inf])
def test_a_large_score_does_not_lift_the_mask_of_attend(forbidden):
    key = 400 * np.eye(2, dtype="float32")[None, :, None]  # (1, 2, 1, 2)
    mask = np.where(np.eye(2), 0.0, forbidden).astype("float32")[None]
    arguments = map(ops.convert_to_tensor, (key[:, ::-1], key, key))  # each likes the other best
    _, weights = attend(*arguments, mask=ops.convert_to_tensor(mask))
    np.testing.assert_array_equal(ops.convert_to_numpy(weights)[0, 0, 0], np.eye(2))


@pytest.mark.parametrize("forbidden", [-100.0, -np.inf])
def test_a_large_score_does_not_lift_a_mask(forbidden):
    layer, x = SelfAttention(1, qkv_bias=False), np.eye(2, dtype="float32")[None]
    layer.build(x.shape)
    kernel = [400 * np.eye(2)[::-1], 400 * np.eye(2), np.eye(2)]  # each likes the other best
    layer.qkv.kernel.assign(np.concatenate(kernel, axis=1))
    mask = np.where(np.eye(2), 0.0, forbidden)[None]
    _, weights = layer(x, attn_mask=mask, return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(weights)[0, 0, 0], np.eye(2))
