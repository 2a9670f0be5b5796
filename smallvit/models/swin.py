"""Swin Transformers: the stages, and the models that were published."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
from keras import layers

from smallvit.layers.blocks import SwinTransformerBlock
from smallvit.layers.dense import Dense
from smallvit.layers.patches import PatchEmbed, PatchMerging, ShiftedPatchTokenization
from smallvit.layers.sizes import to_pair
from smallvit.layers.tokens import PositionEmbedding
from smallvit.models.config import (
    Count,
    Counts,
    CountsOrZeros,
    Extent,
    Rate,
    Rates,
    TransformerConfig,
)
from smallvit.models.initializers import TORCH_LINEAR, normal


@dataclass(frozen=True)
class SwinConfig(TransformerConfig):
    """What a Swin Transformer is made of, besides the fields of `TransformerConfig`.

    Args:
        depths: blocks per stage. A stage of 0 blocks is only the merging that leads to it.
        num_heads: attention heads per stage, as many elements as `depths`.
        window_size: height and width of a window, in tokens.
        shifted_windows: whether every second block shifts its windows by half of their size.
        position_embedding: whether to add a learnt absolute position embedding. Without it, the
            only positions are the windows' relative position biases.
        patch_norm: whether a LayerNormalization follows the patch embedding. Shifted patches have
            one of their own instead.
        norm: whether mergings and the head have their LayerNormalization; with shifted patches,
            whether the head has.
        proj_drop_rate: dropout rate of each branch's output, element by element.
        relative_position_bias_initializer: of the tables of relative position biases.
    """

    patch_size: Extent = 2
    embed_dim: Count = 96
    qkv_bias: bool = True
    drop_path_rates: Rates = (0.0, 0.1)
    depths: CountsOrZeros = (2, 6, 4)
    num_heads: Counts = (3, 6, 12)
    window_size: Extent = 4
    shifted_windows: bool = True
    position_embedding: bool = True
    patch_norm: bool = True
    norm: bool = True
    proj_drop_rate: Rate = 0.0
    relative_position_bias_initializer: Any = "zeros"

    def __post_init__(self):
        super().__post_init__()
        if not self.depths or len(self.depths) != len(self.num_heads):
            got = f"got {self.depths} and {self.num_heads}"
            raise ValueError(f"depths and num_heads must have one element per stage; {got}.")


SWIN_KERAS = SwinConfig(
    embed_dim=64,
    depths=(2, 0),
    num_heads=(8, 8),
    window_size=2,
    mlp_ratio=4.0,
    patch_norm=False,
    norm=False,
    attn_drop_rate=0.03,
    hidden_drop_rate=0.03,
    # The example drops each branch's output twice in a row, element by element, at rate 0.03; the
    # second time is what it calls drop_path. One dropout at this rate does the same.
    proj_drop_rate=1 - (1 - 0.03) ** 2,
    drop_path_rates=(0.0, 0.0),
)
"""The Keras code example 'Image classification with Swin Transformers': 162,996 parameters."""

SWIN_FIXED = replace(SWIN_KERAS, proj_drop_rate=0.03, drop_path_rates=(0.0, 0.03))
"""The same with a drop path that drops paths: 162,996 parameters."""

SWIN_PAPER = SwinConfig(
    # The official code initialises tables and positions only: linear layers stay as torch's.
    kernel_initializer=TORCH_LINEAR,
    bias_initializer=TORCH_LINEAR,
    relative_position_bias_initializer=normal(0.02),
    position_initializer=normal(0.02),
)
"""The Swin of Lee, Lee and Song 2021 (arXiv 2112.13492): 7,107,838 parameters."""

S_SWIN_PAPER = replace(SWIN_PAPER, shifted_patches=True)
"""The same with shifted patch tokenization: 8,596,726 parameters."""

L_SWIN_PAPER = replace(SWIN_PAPER, locality=True)
"""The same with locality self-attention: 7,107,928 parameters."""

SL_SWIN_PAPER = replace(SWIN_PAPER, shifted_patches=True, locality=True)
"""The same with both: 8,596,816 parameters."""


def swin_transformer(config: SwinConfig, name: str = "swin") -> keras.Model:
    """Build a Swin Transformer as a functional Keras model.

    Args:
        config: its sizes, rates and initializers.
        name: the model's name.

    Returns:
        Model from images `(batch, height, width, channels)`, floats scaled as the recipe says, to
        logits `(batch, num_classes)`, float32 whatever the dtype policy; without a head, to the
        mean of the last stage's tokens `(batch, last_channels)`.

    Raises:
        ValueError: if plain patches do not divide the image, or a stage's heads its channels.

    Source: Liu et al. 2021 (Swin), section 3.1 and figure 3.
    """
    starts = config.initializers()
    shift_size = [n // 2 * config.shifted_windows for n in to_pair(config.window_size)]
    if config.shifted_patches:
        embed, merge = (partial(ShiftedPatchTokenization, size) for size in (config.patch_size, 2))
    else:
        embed = partial(PatchEmbed, config.patch_size, norm=config.patch_norm)
        merge = partial(PatchMerging, norm=config.norm)

    images = keras.Input((*to_pair(config.image_size), config.channels), name="images")
    x = embed(embed_dim=config.embed_dim, name="patch_embed", **starts)(images)
    if config.position_embedding:
        x = PositionEmbedding(config.position_initializer, name="position_embedding")(x)
    block_arguments = config.block_arguments(sum(config.depths))
    stages = zip(config.depths, config.num_heads, strict=True)
    for stage, (depth, num_heads) in enumerate(stages, start=1):
        if stage > 1:
            x = merge(embed_dim=2 * x.shape[-1], name=f"stage{stage}_merging", **starts)(x)
        for block in range(1, depth + 1):
            x = SwinTransformerBlock(
                num_heads,
                config.window_size,
                shift_size=0 if block % 2 else shift_size,
                proj_drop=config.proj_drop_rate,
                mlp_drop=config.proj_drop_rate,
                relative_position_bias_initializer=config.relative_position_bias_initializer,
                name=f"stage{stage}_block{block}",
                **next(block_arguments),
            )(x)
    if config.norm:
        x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.GlobalAveragePooling2D("channels_last", name="pool")(x)
    if config.num_classes:
        x = Dense(config.num_classes, dtype="float32", name="head", **starts)(x)
    return keras.Model(images, x, name=name)
