from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from smallvit.models import swin, vit
from smallvit.models.cost import count_macs, count_parameters
from smallvit.models.swin import SwinConfig, swin_transformer
from smallvit.models.vit import VitConfig, vision_transformer

# Million operations as Lee, Lee and Song report them, for images of 64 x 64 and 200 classes.
PUBLISHED = {
    "VIT_PAPER": (189.8, 8),
    "SL_VIT_PAPER": (199.2, 8),
    "SWIN_PAPER": (242.3, 4),
    "SL_SWIN_PAPER": (284.9, 4),
}
TINY_SWIN = SwinConfig(
    image_size=(12, 10),
    embed_dim=4,
    depths=(2, 1),
    num_heads=(2, 4),
    window_size=(4, 3),
    num_classes=3,
)
TINY_VIT = VitConfig(
    image_size=(8, 12), embed_dim=6, depth=2, num_heads=2, key_dim=5, num_classes=3, head_dims=(7,)
)


def build(name, **changes):
    if hasattr(vit, name):
        return vision_transformer(replace(getattr(vit, name), **changes))
    return swin_transformer(replace(getattr(swin, name), **changes))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_are_those_of_larger_images_and_have_the_norms_in_them(name):
    published, patch_size = PUBLISHED[name]
    model = build(name, image_size=64, patch_size=patch_size, num_classes=200)
    macs = count_macs(model)
    assert 0.998 < macs / 1e6 / published < 0.999
    assert (macs + numbers_out_of_norms(model)) / 1e6 == pytest.approx(published, abs=0.06)


def numbers_out_of_norms(model):
    """How many elements the LayerNormalizations of a model output for one image."""
    numbers = 0
    for layer in model.layers:
        if isinstance(layer, layers.LayerNormalization):
            numbers += np.prod(layer.output.shape[1:])
        elif hasattr(layer, "norm1"):
            numbers += 2 * np.prod(layer.input.shape[1:])
        elif hasattr(getattr(layer, "norm", None), "gamma"):
            tokens = np.prod(layer.output.shape[1:-1])
            numbers += tokens * layer.norm.gamma.shape[0]
    return int(numbers)


def test_on_cifar_it_is_less():
    assert count_macs(build("VIT_PAPER")) / 1e6 == pytest.approx(187.73, abs=0.005)


def count_product(rows, inner, columns):
    """Multiply a matrix `(rows, inner)` by one `(inner, columns)`, and count the steps."""
    return sum(1 for _ in range(rows) for _ in range(columns) for _ in range(inner))


def count_block(tokens, embed_dim, hidden_dim, heads, key_dim, windows):
    """A block by hand; `windows` lists how many tokens each of its windows holds, padding too."""
    macs = count_product(sum(windows), embed_dim, 3 * heads * key_dim)
    for window in windows:
        for _ in range(heads):
            macs += count_product(window, key_dim, window)  # scores
            macs += count_product(window, window, key_dim)  # mixing
    macs += count_product(sum(windows), heads * key_dim, embed_dim)
    macs += count_product(tokens, embed_dim, hidden_dim)
    return macs + count_product(tokens, hidden_dim, embed_dim)


def test_a_swin_by_hand():
    # A grid of 6 x 5 tokens is padded to 8 x 6, four windows of 4 x 3; merged it has 3 x 3
    # tokens, one window.
    expected = count_product(30, 2 * 2 * 3, 4)
    expected += 2 * count_block(30, 4, 8, heads=2, key_dim=2, windows=[12] * 4)
    expected += count_product(9, 16, 8)
    expected += count_block(9, 8, 16, heads=4, key_dim=2, windows=[9])
    expected += count_product(1, 8, 3)
    assert count_macs(swin_transformer(TINY_SWIN)) == expected


@pytest.mark.parametrize("shifted_patches", [False, True])
def test_a_vit_by_hand(shifted_patches):
    patch = 4 * 4 * 3 * (5 if shifted_patches else 1)
    expected = count_product(6, patch, 6)
    expected += 2 * count_block(7, 6, 12, heads=2, key_dim=5, windows=[7])
    expected += count_product(1, 6, 7) + count_product(1, 7, 3)
    config = replace(TINY_VIT, shifted_patches=shifted_patches, locality=shifted_patches)
    assert count_macs(vision_transformer(config)) == expected


# Enough tokens for attention by products of matrices, which are what torch's counter sees.
@pytest.mark.parametrize(
    "config",
    [
        TINY_SWIN,
        replace(TINY_SWIN, shifted_patches=True),
        replace(TINY_VIT, image_size=(12, 16)),
    ],
)
def test_torch_counts_the_same(config):
    if keras.backend.backend() != "torch":
        pytest.skip("torch has a counter of its own")
    from torch.utils.flop_counter import FlopCounterMode

    build = swin_transformer if isinstance(config, SwinConfig) else vision_transformer
    model = build(config)
    with FlopCounterMode(display=False) as counter:
        model(np.zeros((1, *model.input.shape[1:]), "float32"))
    assert counter.get_total_flops() == 2 * count_macs(model)


def test_without_blocks_embedding_and_head_remain():
    model = swin_transformer(replace(TINY_SWIN, depths=(0,), num_heads=(1,)))
    assert count_macs(model) == 30 * 12 * 4 + 4 * 3


def test_a_layer_that_is_not_known_is_refused():
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, layers.DepthwiseConv2D(3)(images))
    with pytest.raises(TypeError, match="does not know what a DepthwiseConv2D multiplies"):
        count_macs(model)


def test_parameters_are_what_training_changes():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dropout(0.5)])
    model.add(layers.BatchNormalization())  # two moving averages beside its two parameters
    assert count_parameters(model) == (3 + 1) * 4 + 2 * 4
    model.layers[0].trainable = False
    assert count_parameters(model) == 2 * 4
