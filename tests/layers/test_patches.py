import keras
import numpy as np
import pytest
import reference
from keras import ops
from samples import randomise

from smallvit.layers.patches import (
    PatchEmbed,
    PatchMerging,
    ShiftedPatchTokenization,
    patchify,
    shift_diagonally,
)
from smallvit.layers.tokens import ClassToken, PositionEmbedding


@pytest.mark.parametrize(("size", "patch"), [((8, 8), 2), ((6, 4), (3, 2)), ((4, 4), 4)])
def test_patchify_by_loops(rng, size, patch):
    images = rng.normal(size=(2, *size, 3)).astype("float32")
    patches = ops.convert_to_numpy(patchify(images, patch))
    expected = reference.patches_by_loops(images, patch)
    np.testing.assert_array_equal(patches.reshape(expected.shape), expected)


def test_patch_embed_is_one_linear_map_of_each_patch(rng):
    images = rng.normal(size=(2, 6, 8, 3)).astype("float32")
    layer = PatchEmbed((3, 2), 5)
    tokens = ops.convert_to_numpy(layer(images))
    assert tokens.shape == (2, 2, 4, 5)
    kernel, bias = (ops.convert_to_numpy(weight) for weight in layer.weights)
    expected = reference.dense(reference.patches_by_loops(images, (3, 2)), kernel, bias)
    np.testing.assert_allclose(tokens.reshape(2, 8, 5), expected, atol=1e-5)


def test_patch_embed_with_norm_centres_each_token(rng):
    tokens = PatchEmbed(2, 16, norm=True)(rng.normal(size=(1, 4, 4, 3)))
    np.testing.assert_allclose(ops.convert_to_numpy(ops.mean(tokens, -1)), 0, atol=1e-5)


def test_patch_embed_with_input_norm_normalises_each_patch_first(rng):
    images = rng.normal(size=(2, 6, 8, 3)).astype("float32")
    layer = PatchEmbed((3, 2), 5, input_norm=True)
    layer.build(images.shape)
    randomise(layer, rng)
    norm, proj = (map(ops.convert_to_numpy, x.weights) for x in (layer.input_norm, layer.proj))
    patches = reference.patches_by_loops(images, (3, 2))
    expected = reference.dense(reference.layer_norm(patches, *norm), *proj)
    tokens = ops.convert_to_numpy(layer(images))
    np.testing.assert_allclose(tokens.reshape(2, 8, 5), expected, atol=1e-5)


def test_patch_embed_refuses_what_the_patch_does_not_divide():
    for ask in (PatchEmbed(3, 8).compute_output_shape, PatchEmbed(3, 8).build):
        with pytest.raises(ValueError, match="patch_size of 3 x 3 does not divide a grid of 8 x 9"):
            ask((1, 8, 9, 3))


def test_position_embedding_adds_the_same_vector_in_every_sample(rng):
    tokens = rng.normal(size=(3, 4, 2, 5)).astype("float32")
    layer = PositionEmbedding()
    added = ops.convert_to_numpy(layer(tokens)) - tokens
    np.testing.assert_allclose(added, np.broadcast_to(layer.position, added.shape), atol=1e-6)


def test_patch_merging_by_loops(rng):
    x = rng.normal(size=(2, 4, 6, 3)).astype("float32")
    layer = PatchMerging(7, norm=False)
    merged = ops.convert_to_numpy(layer(x))
    assert merged.shape == (2, 2, 3, 7)
    weights = {"reduction.kernel": ops.convert_to_numpy(layer.reduction.kernel)}
    expected = reference.patch_merging(x.reshape(2, 24, 3), weights, (4, 6))
    np.testing.assert_allclose(merged.reshape(2, 6, 7), expected, atol=1e-5)


def test_patch_merging_pads_an_odd_grid_with_zeros(rng):
    x = rng.normal(size=(1, 3, 5, 2)).astype("float32")
    layer = PatchMerging(4)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    merged = ops.convert_to_numpy(layer(x))
    assert merged.shape == (1, 2, 3, 4)
    np.testing.assert_allclose(merged, ops.convert_to_numpy(layer(padded)), atol=1e-6)


def test_class_token_leads_every_sequence(rng):
    tokens = rng.normal(size=(3, 4, 5)).astype("float32")
    layer = ClassToken()
    longer = ops.convert_to_numpy(layer(tokens))
    np.testing.assert_array_equal(longer[:, 1:], tokens)
    np.testing.assert_array_equal(
        longer[:, 0], np.repeat(ops.convert_to_numpy(layer.token)[0], 3, 0)
    )


@pytest.mark.parametrize(("size", "shift"), [((6, 6), 2), ((5, 8), 1), ((4, 3), 0), ((3, 3), 4)])
def test_shifts_pixel_by_pixel(rng, size, shift):
    images = rng.normal(size=(2, *size, 3)).astype("float32")
    shifted = ops.convert_to_numpy(shift_diagonally(images, shift))
    assert shifted.shape == (2, *size, 15)
    np.testing.assert_array_equal(shifted, reference.diagonal_shifts_by_loops(images, shift))


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_cropping_before_padding_is_the_same(rng, shift):
    """The Keras example crops, then pads to one side: its four images are ours, in its order."""
    images = rng.normal(size=(1, 7, 8, 3)).astype("float32")
    shifted = ops.convert_to_numpy(shift_diagonally(images, shift))
    _, left_up, right_up, left_down, right_down = np.split(shifted, 5, axis=-1)
    before, after, all_of_it = slice(shift, None), slice(None, -shift), (0, 0)
    ways = [  # rows and columns that are kept, and where the zeros go
        (right_down, before, before, (0, shift), (0, shift)),
        (right_up, after, before, (shift, 0), (0, shift)),
        (left_down, before, after, (0, shift), (shift, 0)),
        (left_up, after, after, (shift, 0), (shift, 0)),
    ]
    for ours, rows, columns, pad_rows, pad_columns in ways:
        cropped = images[:, rows, columns]
        theirs = np.pad(cropped, (all_of_it, pad_rows, pad_columns, all_of_it))
        np.testing.assert_array_equal(ours, theirs)


def test_a_negative_shift_is_refused():
    with pytest.raises(ValueError, match=r"shift must be an int .* at least 0; got -1"):
        shift_diagonally(np.zeros((1, 2, 2, 1)), -1)


@pytest.mark.parametrize(
    ("size", "patch"),
    [((8, 8), 4), ((6, 9), 3), ((4, 6), 2), ((5, 5), 5), ((4, 6), (2, 2)), ((6, 8), (3, 4))],
)
def test_spt_against_numpy(rng, size, patch):
    images = rng.normal(size=(2, *size, 3)).astype("float32")
    rows, columns = reference.as_pair(patch)
    layer = ShiftedPatchTokenization(patch, 7)
    tokens = ops.convert_to_numpy(layer(images))
    assert tokens.shape == (2, size[0] // rows, size[1] // columns, 7)
    weights = {w.path.split("/", 1)[1]: ops.convert_to_numpy(w) for w in layer.weights}
    shifted = reference.diagonal_shifts_by_loops(images, (rows // 2, columns // 2))
    normed = reference.layer_norm(
        reference.patches_by_loops(shifted, patch), weights["norm/gamma"], weights["norm/beta"]
    )
    expected = reference.dense(normed, weights["proj/kernel"], weights["proj/bias"])
    np.testing.assert_allclose(tokens.reshape(expected.shape), expected, atol=1e-5)


def test_spt_pads_what_the_patch_does_not_divide(rng):
    x = rng.normal(size=(1, 3, 5, 2)).astype("float32")
    layer = ShiftedPatchTokenization(2, 4)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(layer(padded))
    )


@pytest.mark.parametrize(
    "layer",
    [
        ShiftedPatchTokenization(3, 8, epsilon=1e-6),
        ClassToken("zeros"),
        PatchEmbed((2, 3), 8, norm=True, name="embed"),
        PatchMerging(6, norm=False),
        PositionEmbedding("zeros"),
    ],
)
def test_a_layer_comes_back_from_its_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("norm", [True, False])
def test_tokens_have_the_layers_own_dtype(dtype, norm):
    for layer in (
        PatchEmbed(2, 8, norm=norm, dtype=dtype),
        PatchMerging(8, norm=norm, dtype=dtype),
    ):
        assert ops.dtype(layer(np.zeros((1, 4, 4, 3), "float32"))) == layer.compute_dtype
