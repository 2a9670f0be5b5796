"""Vision Transformers: attention among all tokens, and the models that were published."""

from dataclasses import dataclass, replace

import keras
from keras import layers

from smallvit.layers.blocks import TransformerBlock
from smallvit.layers.fast import Dropout
from smallvit.layers.patches import (
    ClassToken,
    PatchEmbed,
    PositionEmbedding,
    ShiftedPatchTokenization,
)
from smallvit.layers.sizes import Size, to_pair
from smallvit.models.initializers import Rules, initialize, normal, uniform


@dataclass(frozen=True)
class VitConfig:
    """What a Vision Transformer is made of.

    Args:
        image_size: height and width of an image, in pixels.
        num_classes: outputs of the head.
        patch_size: side of a patch, in pixels.
        embed_dim: channels of a token.
        depth: blocks.
        num_heads: attention heads in each block.
        key_dim: channels of a head.
        mlp_ratio: hidden channels of an MLP, in multiples of `embed_dim`.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        pool: what the head reads: `"token"`, a class token that leads the sequence; `"mean"`, the
            mean of all tokens; `"flatten"`, all tokens laid end to end.
        input_norm: whether patch embedding normalises its patches first, as shifted patch
            tokenization does.
        head_dims: hidden layers of the head, each with a GELU.
        initializers: how weights start, by name, as `initialize` takes them.
        shifted_patches: whether shifted patch tokenization takes the place of patch embedding.
        locality: whether attention masks the diagonal and learns its temperature.
        temperature_as: `"multiplier"` or `"divisor"`: how the temperature acts on the scores.
        temperature_per: `"head"` or `"layer"`: how many temperatures a block learns.
        out_activation: what follows an MLP's second layer.
        epsilon: the LayerNormalizations'.
        attn_drop_rate: dropout rate of the attention weights.
        hidden_drop_rate: dropout rate within the MLPs.
        mlp_drop_rate: dropout rate of the MLPs' output.
        head_drop_rate: dropout rate before each layer of the head.
        drop_path_rate: rate at which any block drops a branch whole, sample by sample.
    """

    image_size: Size = 32
    num_classes: int = 100
    patch_size: int = 4
    embed_dim: int = 192
    depth: int = 9
    num_heads: int = 12
    key_dim: int = 16
    mlp_ratio: float = 2.0
    qkv_bias: bool = False
    pool: str = "token"
    input_norm: bool = False
    head_dims: tuple[int, ...] = ()
    initializers: Rules = (
        ("position_embedding/position", normal(1.0)),
        ("class_token/token", normal(1.0)),
        ("kernel", "glorot_normal"),
    )
    shifted_patches: bool = False
    locality: bool = False
    temperature_as: str = "multiplier"
    temperature_per: str = "head"
    out_activation: str = "linear"
    epsilon: float = 1e-5
    attn_drop_rate: float = 0.0
    hidden_drop_rate: float = 0.0
    mlp_drop_rate: float = 0.0
    head_drop_rate: float = 0.0
    drop_path_rate: float = 0.1

    def __post_init__(self):
        if self.pool not in ("token", "mean", "flatten"):
            raise ValueError(f"pool must be 'token', 'mean' or 'flatten'; got {self.pool!r}.")


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
    # MultiHeadAttention's kernels have three axes, and Keras 2, which the example was run with,
    # counted their inputs and outputs as a convolution's: attention starts smaller.
    initializers=(
        ("qkv/kernel", uniform((6 / (4 * 64 + 64 * 64)) ** 0.5)),
        ("attn/proj/kernel", uniform((6 / (4 * 64 + 4 * 64)) ** 0.5)),
    ),
    out_activation="gelu",
    epsilon=1e-6,
    attn_drop_rate=0.1,
    hidden_drop_rate=0.1,
    mlp_drop_rate=0.1,
    head_drop_rate=0.5,
    drop_path_rate=0.0,
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

VIT_PAPER = VitConfig()
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
        config: what it is made of; the constants of this module are published ones.
        name: the model's name.

    Returns:
        Model from images `(batch, height, width, 3)`, floats scaled as the recipe says, to logits
        `(batch, num_classes)`, float32 whatever the dtype policy.

    Source: Dosovitskiy et al. 2021 (ViT), equations 1 to 4; Lee, Lee and Song 2021.
    """
    images = keras.Input((*to_pair(config.image_size, "image_size"), 3), name="images")
    if config.shifted_patches:
        embed = ShiftedPatchTokenization(
            config.patch_size, config.embed_dim, epsilon=config.epsilon, name="patch_embed"
        )
    else:
        embed = PatchEmbed(
            config.patch_size, config.embed_dim, input_norm=config.input_norm, name="patch_embed"
        )
    x = layers.Reshape((-1, config.embed_dim), name="tokens")(embed(images))
    if config.pool == "token":
        x = ClassToken(name="class_token")(x)
    x = PositionEmbedding(name="position_embedding")(x)
    for block in range(1, config.depth + 1):
        x = TransformerBlock(
            config.num_heads,
            config.key_dim,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=config.qkv_bias,
            attn_drop=config.attn_drop_rate,
            hidden_drop=config.hidden_drop_rate,
            mlp_drop=config.mlp_drop_rate,
            drop_path=config.drop_path_rate,
            locality=config.locality,
            temperature_as=config.temperature_as,
            temperature_per=config.temperature_per,
            out_activation=config.out_activation,
            epsilon=config.epsilon,
            name=f"block{block}",
        )(x)
    x = layers.LayerNormalization(epsilon=config.epsilon, name="norm")(x)
    x = _pool(x, config.pool)
    for number, units in enumerate(config.head_dims, start=1):
        x = Dropout(config.head_drop_rate, name=f"head_drop{number}")(x)
        x = layers.Dense(units, activation="gelu", name=f"head_hidden{number}")(x)
    x = Dropout(config.head_drop_rate, name="head_drop")(x)
    logits = layers.Dense(config.num_classes, dtype="float32", name="head")(x)
    model = keras.Model(images, logits, name=name)
    initialize(model, config.initializers)
    return model


def _pool(tokens: keras.KerasTensor, pool: str) -> keras.KerasTensor:
    """What the head reads of `(batch, num_tokens, channels)`."""
    if pool == "token":
        return tokens[:, 0]
    if pool == "mean":
        return layers.GlobalAveragePooling1D(name="pool")(tokens)
    return layers.Flatten(name="flatten")(tokens)
