from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from smallvit.models.initializers import initialize, normal, uniform
from smallvit.models.swin import SWIN_PAPER, swin_transformer
from smallvit.models.vit import VIT_KERAS, VIT_PAPER, vision_transformer


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((50,)), layers.Dense(200, name="first"), layers.Dense(100, name="second")],
        name="pair",
    )


def values(model, ending):
    (weight,) = [w for w in model.trainable_weights if w.path.endswith(ending)]
    return ops.convert_to_numpy(weight)


def test_the_first_rule_that_fits_counts_and_other_weights_stay(model):
    before = values(model, "second/bias")
    initialize(model, (("first/kernel", uniform(0.5)), ("kernel", normal(3.0))))
    first, second = values(model, "first/kernel"), values(model, "second/kernel")
    assert 0.49 < first.max() <= 0.5
    assert first.std() == pytest.approx(0.5 / 3**0.5, rel=0.02)
    assert second.std() == pytest.approx(3.0, rel=0.02)
    np.testing.assert_array_equal(values(model, "second/bias"), before)


def test_a_rule_that_fits_nothing_is_an_error(model):
    with pytest.raises(ValueError, match="No weight of pair ends in thirst/kernel"):
        initialize(model, (("thirst/kernel", "ones"), ("first/kernel", "ones")))


def test_the_seed_decides(model):
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        initialize(model, (("kernel", normal(1.0)),))
        drawn.append(values(model, "first/kernel"))
    np.testing.assert_array_equal(*drawn)


def test_the_papers_vit_starts_as_the_official_code_does():
    model = vision_transformer(VIT_PAPER)
    assert values(model, "position_embedding/position").std() == pytest.approx(1, rel=0.05)
    qkv = values(model, "block1/attn/qkv/kernel")  # Xavier normal: 2 / (fan in + fan out)
    assert qkv.std() == pytest.approx((2 / (192 + 576)) ** 0.5, rel=0.02)
    assert not values(model, "block1/mlp/fc1/bias").any()


def test_the_papers_swin_starts_as_the_official_code_does():
    model = swin_transformer(SWIN_PAPER)
    for ending in ("stage2_block1/attn/qkv/kernel", "position_embedding/position", "head/kernel"):
        assert values(model, ending).std() == pytest.approx(0.02, rel=0.05)
    table = "stage3_block1/attn/relative_position_bias_table"
    assert values(model, table).std() == pytest.approx(0.02, rel=0.2)
    patches = values(model, "patch_embed/proj/kernel")  # torch's own for a convolution
    assert 0.9 * 12**-0.5 < np.abs(patches).max() <= 12**-0.5


@pytest.mark.parametrize(
    ("ours", "shape"), [("attn/qkv/kernel", (64, 4, 64)), ("attn/proj/kernel", (4, 64, 64))]
)
def test_the_examples_attention_starts_as_its_three_axes_did_in_keras_2(ours, shape):
    kernel = keras.initializers.GlorotUniform()(shape)  # three axes: a convolution's, to Keras
    limit = np.abs(ops.convert_to_numpy(kernel)).max()
    mine = values(vision_transformer(replace(VIT_KERAS, depth=1)), f"block1/{ours}")
    assert np.abs(mine).max() == pytest.approx(limit, rel=0.01)
