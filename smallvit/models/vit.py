"""Vision Transformers: attention among all tokens, and the models that were published."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import keras
from keras import layers

from smallvit.layers.blocks import TransformerBlock
from smallvit.layers.dense import Dense
from smallvit.layers.fast import Dropout
from smallvit.layers.patches import PatchEmbed, ShiftedPatchTokenization
from smallvit.layers.sizes import to_pair
from smallvit.layers.tokens import ClassToken, PositionEmbedding
from smallvit.models.config import Count, Counts, Positive, Rate, TransformerConfig
from smallvit.models.initializers import XAVIER_NORMAL, normal, uniform


@dataclass(frozen=True)
class VitConfig(TransformerConfig):
    """What a Vision Transformer is made of, besides the fields of `TransformerConfig`.

    Args:
        depth: blocks.
        num_heads: attention heads per block.
        key_dim: channels per head.
        pool: what the head reads: `"token"`, a class token that leads the sequence; `"mean"`, the
            mean of all tokens; `"flatten"`, all tokens concatenated.
        input_norm: whether patch embedding normalises its patches first, as shifted patch
            tokenization always does.
        head_dims: hidden layers of the head, each with a GELU.
        temperature_as, temperature_per: how the temperature acts on the scores, and how many a
            block learns; see `LocalitySelfAttention`.
        out_activation: activation after an MLP's second layer.
        epsilon: of the LayerNormalizations.
        mlp_drop_rate: dropout rate of the MLPs' output.
        head_drop_rate: dropout rate before each layer of the head.
        qkv_initializer: of the kernels for queries, keys and values; `None` for that of the others.
        proj_initializer: of the attention's output projections; `None` for that of the others.
        token_initializer: of the class token.
    """

    depth: Count = 9
    num_heads: Count = 12
    key_dim: Count = 16
    pool: Literal["token", "mean", "flatten"] = "token"
    input_norm: bool = False
    head_dims: Counts = ()
    temperature_as: Literal["multiplier", "divisor"] = "multiplier"
    temperature_per: Literal["head", "layer"] = "head"
    out_activation: Literal["linear", "gelu"] = "linear"
    epsilon: Positive = 1e-5
    mlp_drop_rate: Rate = 0.0
    head_drop_rate: Rate = 0.0
    qkv_initializer: Any = None
    proj_initializer: Any = None
    token_initializer: Any = "random_normal"


VIT_KERAS = VitConfig(
    image_size=72,
    patch_size=6,
    embed_dim=64,
    depth=8,
    num_heads=4,
    key_dim=64,
    qkv_bias=True,
    pool="flatten",
    head_dims=(2048, 1024),
    out_activation="gelu",
    epsilon=1e-6,
    attn_drop_rate=0.1,
    hidden_drop_rate=0.1,
    mlp_drop_rate=0.1,
    head_drop_rate=0.5,
    drop_path_rates=(0.0, 0.0),
    # MultiHeadAttention's kernels have three axes, and Keras 2, which the example was run with,
    # counted their fans as a convolution's: attention starts smaller.
    qkv_initializer=uniform((6 / (4 * 64 + 64 * 64)) ** 0.5),
    proj_initializer=uniform((6 / (4 * 64 + 4 * 64)) ** 0.5),
)
"""The Keras code example 'Train a Vision Transformer on small datasets': 21,759,012 parameters."""

SL_VIT_KERAS = replace(
    VIT_KERAS,
    shifted_patches=True,
    locality=True,
    temperature_as="divisor",
    temperature_per="layer",
)
"""The same with SPT and LSA, and a temperature that really learns: 21,787,748 parameters."""

VIT_PAPER = VitConfig(
    kernel_initializer=XAVIER_NORMAL,
    position_initializer=normal(1.0),
    token_initializer=normal(1.0),
)
"""The ViT of Lee, Lee and Song 2021 (arXiv 2112.13492): 2,709,796 parameters."""

S_VIT_PAPER = replace(VIT_PAPER, shifted_patches=True)
"""The same with shifted patch tokenization: 2,747,140 parameters."""

L_VIT_PAPER = replace(VIT_PAPER, locality=True)
"""The same with locality self-attention: 2,709,904 parameters."""

SL_VIT_PAPER = replace(VIT_PAPER, shifted_patches=True, locality=True)
"""The same with both: 2,747,248 parameters."""


def vision_transformer(config: VitConfig, name: str = "vit") -> keras.Model:
    """Build a Vision Transformer as a functional Keras model.

    Args:
        config: its sizes, rates and initializers.
        name: the model's name.

    Returns:
        Model from images `(batch, height, width, channels)`, floats scaled as the recipe says, to
        logits `(batch, num_classes)`, float32 whatever the dtype policy; without a head, to what
        the head would read.

    Raises:
        ValueError: if plain patches do not divide the image.

    Source: Dosovitskiy et al. 2021 (ViT), equations 1 to 4; Lee, Lee and Song 2021.
    """
    starts = config.initializers()
    if config.shifted_patches:
        embed = partial(ShiftedPatchTokenization, epsilon=config.epsilon)
    else:
        embed = partial(PatchEmbed, input_norm=config.input_norm, epsilon=config.epsilon)

    images = keras.Input((*to_pair(config.image_size), config.channels), name="images")
    x = embed(config.patch_size, config.embed_dim, name="patch_embed", **starts)(images)
    x = layers.Reshape((-1, config.embed_dim), name="tokens")(x)
    if config.pool == "token":
        x = ClassToken(config.token_initializer, name="class_token")(x)
    x = PositionEmbedding(config.position_initializer, name="position_embedding")(x)
    for block, arguments in enumerate(config.block_arguments(config.depth), start=1):
        x = TransformerBlock(
            config.num_heads,
            config.key_dim,
            mlp_drop=config.mlp_drop_rate,
            temperature_as=config.temperature_as,
            temperature_per=config.temperature_per,
            out_activation=config.out_activation,
            epsilon=config.epsilon,
            qkv_initializer=config.qkv_initializer,
            proj_initializer=config.proj_initializer,
            name=f"block{block}",
            **arguments,
        )(x)
    x = layers.LayerNormalization(epsilon=config.epsilon, name="norm")(x)
    x = _pool(x, config.pool)
    if config.num_classes:
        for number, units in enumerate(config.head_dims, start=1):
            x = Dropout(config.head_drop_rate, name=f"head_drop{number}")(x)
            x = Dense(units, activation="gelu", name=f"head_hidden{number}", **starts)(x)
        x = Dropout(config.head_drop_rate, name="head_drop")(x)
        x = Dense(config.num_classes, dtype="float32", name="head", **starts)(x)
    return keras.Model(images, x, name=name)


def _pool(tokens: keras.KerasTensor, pool: str) -> keras.KerasTensor:
    """What the head reads of `(batch, num_tokens, channels)`."""
    if pool == "mean":
        return layers.GlobalAveragePooling1D("channels_last", name="pool")(tokens)
    if pool == "token":
        tokens = layers.Cropping1D((0, tokens.shape[1] - 1), name="first_token")(tokens)
    return layers.Flatten("channels_last", name="flatten")(tokens)
