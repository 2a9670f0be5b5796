import keras
import numpy as np
import pytest
import reference
from keras import ops

from smallvit.patches import PatchEmbed, PatchMerging, PositionEmbedding, patchify


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


@pytest.mark.parametrize(
    "layer",
    [
        PatchEmbed((2, 3), 8, norm=True, name="embed"),
        PatchMerging(6, norm=False),
        PositionEmbedding("zeros"),
    ],
)
def test_a_layer_comes_back_from_its_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
