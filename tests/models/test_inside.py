import keras
import numpy as np
import pytest
from keras import ops
from samples import SMALL_SWIN, SMALL_VIT

from smallvit.models.inside import get_scales, look_inside
from smallvit.models.swin import swin_transformer
from smallvit.models.vit import vision_transformer


def test_a_vit_shows_tokens_attention_and_the_same_logits(rng):
    model = vision_transformer(SMALL_VIT)
    images = rng.random((2, 8, 12, 3)).astype("float32")
    inside = look_inside(model)(images)
    assert inside.keys() == {
        "logits",
        *(f"block{n}{s}" for n in (1, 2) for s in ("", "_attention")),
    }
    assert inside["block1"].shape == (2, 7, 8)
    assert inside["block2_attention"].shape == (2, 1, 2, 7, 7)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(inside["logits"]), ops.convert_to_numpy(model(images))
    )


def test_a_block_given_what_came_before_makes_what_is_shown(rng):
    model = vision_transformer(SMALL_VIT)
    inside = look_inside(model)(rng.random((2, 8, 12, 3)).astype("float32"))
    again = model.get_layer("block2")(inside["block1"])
    np.testing.assert_allclose(
        ops.convert_to_numpy(again), ops.convert_to_numpy(inside["block2"]), atol=1e-6
    )


def test_looking_leaves_the_model_as_it_is(rng, tmp_path):
    model = vision_transformer(SMALL_VIT)
    model.compile("sgd", "mse")
    output = model.get_layer("block1").output
    assert output.shape == (None, 7, 8)
    look_inside(model)
    assert model.get_layer("block1").output is output
    images = rng.random((2, 8, 12, 3)).astype("float32")
    model.save(tmp_path / "vit.keras")
    loaded = keras.models.load_model(tmp_path / "vit.keras", compile=False)
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(images)), ops.convert_to_numpy(model(images)), atol=1e-6
    )


def test_a_swin_shows_its_windows(rng):
    inside = look_inside(swin_transformer(SMALL_SWIN))(rng.random((2, 16, 16, 3)))
    assert inside["stage1_block2"].shape == (2, 8, 8, 8)
    assert inside["stage1_block1_attention"].shape == (2, 4, 2, 16, 16)
    assert inside["stage1_block2_attention"].shape == (2, 4, 2, 16, 16)
    assert inside["stage2_block1_attention"].shape == (2, 1, 4, 16, 16)


def test_scales_are_told_learnt_or_not():
    learnt = get_scales(vision_transformer(SMALL_VIT))
    assert {name: values.tolist() for name, values in learnt.items()} == {
        "block1": [0.5, 0.5],
        "block2": [0.5, 0.5],
    }
    fixed = get_scales(swin_transformer(SMALL_SWIN))
    np.testing.assert_allclose(fixed["stage1_block1"], [0.5])


def test_a_model_within_a_model_is_not_looked_into():
    model = vision_transformer(SMALL_VIT)
    images = keras.Input(model.input.shape[1:])
    wrapped = keras.Model(images, model(images))
    with pytest.raises(TypeError, match="has no transformer block at its top level"):
        look_inside(wrapped)
