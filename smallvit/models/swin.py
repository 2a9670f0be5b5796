"""Swin Transformers: the stages, and the models that were published."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
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
    ModelConfig,
    Positive,
    Rate,
    Rates,
)
from smallvit.models.initializers import TORCH_LINEAR, normal


@dataclass(frozen=True)
class SwinConfig(ModelConfig):
    """What a Swin Transformer is made of.

    Args:
        image_size: height and width of an image, in pixels.
        channels: channels of an image.
        num_classes: outputs of the head; 0 for a model without a head, which returns features.
        patch_size: height and width of a patch, in pixels.
        embed_dim: channels of the first stage; each merging doubles them.
        depths: blocks per stage. A stage of 0 blocks is only the merging that leads to it.
        num_heads: attention heads per stage.
        window_size: height and width of a window, in tokens.
        shifted_windows: whether every second block shifts its windows by half of their size.
        mlp_ratio: hidden channels of an MLP, in multiples of its channels.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        position_embedding: whether to add a learnt absolute position embedding. Without it, the
            only positions are the windows' relative position biases.
        patch_norm: whether a LayerNormalization follows the patch embedding.
        norm: whether mergings and the head have their LayerNormalization.
        shifted_patches: whether shifted patch tokenization replaces patch embedding and mergings.
        locality: whether attention masks the diagonal and learns its temperature.
        attn_drop_rate: dropout rate of the attention weights.
        hidden_drop_rate: dropout rate within the MLPs.
        proj_drop_rate: dropout rate of each branch's output, element by element.
        drop_path_rates: rates at which the first and the last block drop a whole branch, sample by
            sample; those of the blocks between are spaced evenly.
        kernel_initializer: Keras initializer of all kernels.
        bias_initializer: of all biases.
        relative_position_bias_initializer: of the tables of relative position biases.
        position_initializer: of the position embedding.

    Raises:
        ValueError: if a field has another type or range, or `depths` and `num_heads` differ in
            length.
    """

    patch_size: Extent = 2
    embed_dim: Count = 96
    depths: CountsOrZeros = (2, 6, 4)
    num_heads: Counts = (3, 6, 12)
    window_size: Extent = 4
    shifted_windows: bool = True
    mlp_ratio: Positive = 2.0
    qkv_bias: bool = True
    position_embedding: bool = True
    patch_norm: bool = True
    norm: bool = True
    shifted_patches: bool = False
    locality: bool = False
    attn_drop_rate: Rate = 0.0
    hidden_drop_rate: Rate = 0.0
    proj_drop_rate: Rate = 0.0
    drop_path_rates: Rates = (0.0, 0.1)
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    relative_position_bias_initializer: Any = "zeros"
    position_initializer: Any = "uniform"

    def __post_init__(self):
        super().__post_init__()
        if not self.depths or len(self.depths) != len(self.num_heads):
            raise ValueError(
                "depths and num_heads must have one element per stage; "
                f"got {self.depths} and {self.num_heads}."
            )


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
        config: what it is made of; `SWIN_KERAS` and `SWIN_PAPER` are published ones.
        name: the model's name.

    Returns:
        Model from images `(batch, height, width, channels)`, floats scaled as the recipe says, to
        logits `(batch, num_classes)`, float32 whatever the dtype policy; without a head, to the
        mean of the last stage's tokens `(batch, last_channels)`.

    Source: Liu et al. 2021 (Swin), section 3.1 and figure 3.
    """
    starts = {
        "kernel_initializer": config.kernel_initializer,
        "bias_initializer": config.bias_initializer,
    }
    shift_size = [n // 2 * config.shifted_windows for n in to_pair(config.window_size)]
    drop_path_rates = iter(np.linspace(*config.drop_path_rates, sum(config.depths)).tolist())
    if config.shifted_patches:
        embed, merge = (partial(ShiftedPatchTokenization, size) for size in (config.patch_size, 2))
    else:
        embed = partial(PatchEmbed, config.patch_size, norm=config.patch_norm)
        merge = partial(PatchMerging, norm=config.norm)

    images = keras.Input((*to_pair(config.image_size), config.channels), name="images")
    x = embed(embed_dim=config.embed_dim, name="patch_embed", **starts)(images)
    if config.position_embedding:
        x = PositionEmbedding(config.position_initializer, name="position_embedding")(x)
    for stage, (depth, num_heads) in enumerate(
        zip(config.depths, config.num_heads, strict=True), start=1
    ):
        if stage > 1:
            x = merge(embed_dim=2 * x.shape[-1], name=f"stage{stage}_merging", **starts)(x)
        for block in range(1, depth + 1):
            x = SwinTransformerBlock(
                num_heads,
                config.window_size,
                shift_size=0 if block % 2 else shift_size,
                mlp_ratio=config.mlp_ratio,
                qkv_bias=config.qkv_bias,
                attn_drop=config.attn_drop_rate,
                proj_drop=config.proj_drop_rate,
                hidden_drop=config.hidden_drop_rate,
                mlp_drop=config.proj_drop_rate,
                drop_path=next(drop_path_rates),
                locality=config.locality,
                relative_position_bias_initializer=config.relative_position_bias_initializer,
                name=f"stage{stage}_block{block}",
                **starts,
            )(x)
    if config.norm:
        x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.GlobalAveragePooling2D("channels_last", name="pool")(x)
    if config.num_classes:
        x = Dense(config.num_classes, dtype="float32", name="head", **starts)(x)
    return keras.Model(images, x, name=name)
