import keras
import numpy as np
import pytest
from keras import ops

from smallvit.layers.blocks import SwinTransformerBlock
from smallvit.layers.dense import Dense
from smallvit.layers.patches import PatchEmbed, PatchMerging, ShiftedPatchTokenization

LIKE_TORCH = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def check_uniform(weight, fan_in):
    values = ops.convert_to_numpy(weight).ravel()
    limit = fan_in**-0.5
    assert np.abs(values).max() <= limit
    # The variance of u**2 is 4/45 for u between -1 and 1: five standard errors.
    mean_square = (values**2).mean() / limit**2
    assert abs(mean_square - 1 / 3) < 5 * (4 / 45 / values.size) ** 0.5
    assert abs(values.mean()) < 5 * limit * (1 / 3 / values.size) ** 0.5


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (SwinTransformerBlock, (None, 4, 4, 64)),
        (PatchEmbed, (None, 8, 8, 3)),
        (PatchMerging, (None, 8, 8, 32)),
        (ShiftedPatchTokenization, (None, 8, 8, 3)),
    ],
)
def test_every_kernel_and_bias_can_start_as_torch_starts_them(layer, shape):
    arguments = {
        SwinTransformerBlock: {"num_heads": 4, "window_size": 2, "mlp_ratio": 2, "locality": True},
        PatchMerging: {"embed_dim": 96},
    }.get(layer, {"patch_size": 4, "embed_dim": 96})
    layer = layer(**arguments, kernel_initializer=LIKE_TORCH, bias_initializer=LIKE_TORCH)
    layer.build(shape)
    found = [part for part in layer._flatten_layers() if isinstance(part, keras.layers.Dense)]
    assert len(found) == (4 if isinstance(layer, SwinTransformerBlock) else 1)
    for dense in found:
        fan_in = dense.kernel.shape[0]
        check_uniform(dense.kernel, fan_in)
        if dense.bias is not None:
            check_uniform(dense.bias, fan_in)
            assert np.isin(dense.bias, dense.kernel).mean() < 0.1


def test_layers_that_share_an_initializer_do_not_share_values():
    pair = [Dense(4, kernel_initializer=LIKE_TORCH) for _ in range(2)]
    for layer in pair:
        layer.build((None, 3))
    assert (ops.convert_to_numpy(pair[0].kernel) != ops.convert_to_numpy(pair[1].kernel)).all()


def test_other_initializers_draw_a_bias_as_keras_does():
    layer = Dense(3, bias_initializer=lambda shape, dtype=None: ops.ones(shape, dtype))
    layer.build((None, 5))
    np.testing.assert_array_equal(layer.bias, [1, 1, 1])


def test_it_comes_back_from_its_config():
    layer = Dense(3, use_bias=False, kernel_initializer="zeros", name="map")
    layer.build((None, 2))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is Dense
    assert again.get_config() == layer.get_config()


def test_a_bias_that_needs_the_fan_in_comes_back_too():
    layer = Dense(3, bias_initializer=LIKE_TORCH)
    layer.build((None, 2))
    assert Dense.from_config(layer.get_config()).get_config() == layer.get_config()
