"""Swin Transformers: the stages, and the models that were published."""

from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import layers

from smallvit.layers.blocks import SwinTransformerBlock
from smallvit.layers.patches import (
    PatchEmbed,
    PatchMerging,
    PositionEmbedding,
    ShiftedPatchTokenization,
)
from smallvit.layers.sizes import Size, to_pair
from smallvit.models.initializers import Rules, initialize, normal, uniform


@dataclass(frozen=True)
class SwinConfig:
    """What a Swin Transformer is made of.

    Args:
        image_size: height and width of an image, in pixels.
        num_classes: outputs of the head.
        patch_size: height and width of a patch, in pixels.
        embed_dim: channels of the first stage; each merging doubles them.
        depths: blocks in each stage. A stage of 0 blocks is only the merging that leads to it.
        num_heads: attention heads in each stage.
        window_size: height and width of a window, in tokens.
        shifted_windows: whether every second block shifts its windows by half of their size.
        mlp_ratio: hidden channels of an MLP, in multiples of its channels.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        initializers: how weights start, by name, as `initialize` takes them.
        position_embedding: whether each token is told its place in the image. Without it, the
            windows' relative position bias is all that tells places.
        patch_norm: whether a LayerNormalization follows the patch embedding.
        norm: whether mergings and the head have their LayerNormalization.
        attn_drop_rate: dropout rate of the attention weights.
        hidden_drop_rate: dropout rate within the MLPs.
        proj_drop_rate: dropout rate of each branch's output, element by element.
        shifted_patches: whether shifted patch tokenization takes the place of patch embedding and
            of both mergings.
        locality: whether attention masks the diagonal and learns its temperature.
        drop_path_rate: rate at which the last block drops a branch whole, sample by sample; the
            rate grows in equal steps from 0 in the first block.

    Raises:
        ValueError: if `depths` and `num_heads` do not name the same stages.
    """

    image_size: Size = 32
    num_classes: int = 100
    patch_size: Size = 2
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 6, 4)
    num_heads: tuple[int, ...] = (3, 6, 12)
    window_size: Size = 4
    shifted_windows: bool = True
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    initializers: Rules = ()
    position_embedding: bool = True
    patch_norm: bool = True
    norm: bool = True
    shifted_patches: bool = False
    locality: bool = False
    attn_drop_rate: float = 0.0
    hidden_drop_rate: float = 0.0
    proj_drop_rate: float = 0.0
    drop_path_rate: float = 0.1

    def __post_init__(self):
        if not self.depths or len(self.depths) != len(self.num_heads):
            raise ValueError(
                "depths and num_heads must give one number for each stage; "
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
    # The example drops each branch's output twice in a row, element by element, at rate 0.03; what
    # it names drop_path is the second of the two. One dropout of this rate is the same at once.
    proj_drop_rate=1 - (1 - 0.03) ** 2,
    drop_path_rate=0.0,
)
"""The Keras code example 'Image classification with Swin Transformers': 162,996 parameters."""

SWIN_FIXED = replace(SWIN_KERAS, proj_drop_rate=0.03, drop_path_rate=0.03)
"""The same with a drop path that drops paths: 162,996 parameters."""

_OFFICIAL_START = (
    ("kernel", normal(0.02)),
    ("relative_position_bias_table", normal(0.02)),
    ("position_embedding/position", normal(0.02)),
)

SWIN_PAPER = SwinConfig(
    # The official code embeds patches by a convolution, which starts as torch starts it.
    initializers=(("patch_embed/proj/kernel", uniform((2 * 2 * 3) ** -0.5)), *_OFFICIAL_START)
)
"""The Swin of Lee, Lee and Song 2021 (arXiv 2112.13492): 7,107,838 parameters."""

S_SWIN_PAPER = replace(SWIN_PAPER, shifted_patches=True, initializers=_OFFICIAL_START)
"""The same with shifted patch tokenization: 8,596,726 parameters."""

L_SWIN_PAPER = replace(SWIN_PAPER, locality=True)
"""The same with locality self-attention: 7,107,928 parameters."""

SL_SWIN_PAPER = replace(S_SWIN_PAPER, locality=True)
"""The same with both: 8,596,816 parameters."""


def swin_transformer(config: SwinConfig, name: str = "swin") -> keras.Model:
    """Build a Swin Transformer as a functional Keras model.

    Args:
        config: what it is made of; `SWIN_KERAS` and `SWIN_PAPER` are published ones.
        name: the model's name.

    Returns:
        Model from images `(batch, height, width, 3)`, floats scaled as the recipe says, to logits
        `(batch, num_classes)`, float32 whatever the dtype policy.

    Source: Liu et al. 2021 (Swin), section 3.1 and figure 3.
    """
    shift_size = tuple(n // 2 for n in to_pair(config.window_size, "window_size"))
    drop_path_rates = iter(np.linspace(0, config.drop_path_rate, sum(config.depths)).tolist())

    images = keras.Input((*to_pair(config.image_size, "image_size"), 3), name="images")
    x = _embed(config, "patch_embed")(images)
    if config.position_embedding:
        x = PositionEmbedding(name="position_embedding")(x)
    for stage, (depth, num_heads) in enumerate(
        zip(config.depths, config.num_heads, strict=True), start=1
    ):
        if stage > 1:
            x = _merge(config, 2 * x.shape[-1], f"stage{stage}_merging")(x)
        for block in range(1, depth + 1):
            x = SwinTransformerBlock(
                num_heads,
                config.window_size,
                shift_size=shift_size if config.shifted_windows and block % 2 == 0 else 0,
                mlp_ratio=config.mlp_ratio,
                qkv_bias=config.qkv_bias,
                attn_drop=config.attn_drop_rate,
                proj_drop=config.proj_drop_rate,
                hidden_drop=config.hidden_drop_rate,
                mlp_drop=config.proj_drop_rate,
                drop_path=next(drop_path_rates),
                locality=config.locality,
                name=f"stage{stage}_block{block}",
            )(x)
    if config.norm:
        x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(config.num_classes, dtype="float32", name="head")(x)
    model = keras.Model(images, logits, name=name)
    initialize(model, config.initializers)
    return model


def _embed(config: SwinConfig, name: str) -> layers.Layer:
    if config.shifted_patches:
        return ShiftedPatchTokenization(config.patch_size, config.embed_dim, name=name)
    return PatchEmbed(config.patch_size, config.embed_dim, norm=config.patch_norm, name=name)


def _merge(config: SwinConfig, embed_dim: int, name: str) -> layers.Layer:
    if config.shifted_patches:
        return ShiftedPatchTokenization(2, embed_dim, name=name)
    return PatchMerging(embed_dim, norm=config.norm, name=name)
