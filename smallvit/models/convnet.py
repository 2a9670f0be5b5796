"""A small residual convolutional network: what the transformers of this book are compared with."""

from dataclasses import dataclass
from functools import partial

import keras
from keras import KerasTensor, layers

from smallvit.layers.sizes import to_pair
from smallvit.models.config import Count, CountOrZero, ModelConfig

_Convolution = partial(
    layers.Conv2D,
    padding="same",
    data_format="channels_last",
    use_bias=False,  # a normalisation follows
    kernel_initializer="he_normal",
)


@dataclass(frozen=True)
class ConvNetConfig(ModelConfig):
    """A residual convolutional network in two stages: its fields besides those of `ModelConfig`.

    Args:
        embed_dim: channels of the first stage, on a grid of half the image's height and width.
        depth: residual blocks of the first stage.
        final_dim: channels of the second stage, on a grid of a quarter of the height and width.
        final_depth: residual blocks of the second stage, the one that halves the grid included.
    """

    embed_dim: Count = 24
    depth: CountOrZero = 1
    final_dim: Count = 64
    final_depth: Count = 2


def convolutional_network(config: ConvNetConfig, name: str = "convnet") -> keras.Model:
    """Build a residual convolutional network as a functional Keras model.

    Args:
        config: its sizes.
        name: the model's name.

    Returns:
        Model from images `(batch, height, width, channels)`, floats scaled as the recipe says, to
        logits `(batch, num_classes)`, float32 whatever the dtype policy; without a head, to the
        mean of the last grid `(batch, final_dim)`.

    Source: He et al. 2016 (identity mappings in residual networks), figure 4e: normalisation and
    activation come before each convolution.
    """
    images = keras.Input((*to_pair(config.image_size), config.channels), name="images")
    x = _Convolution(config.embed_dim, 3, strides=2, name="stem")(images)
    for block in range(1, config.depth + 1):
        x = _residual_block(x, config.embed_dim, strides=1, name=f"stage1_block{block}")
    for block in range(1, config.final_depth + 1):
        strides = 2 if block == 1 else 1
        x = _residual_block(x, config.final_dim, strides, name=f"stage2_block{block}")
    x = _activate(x, name="norm")
    x = layers.GlobalAveragePooling2D("channels_last", name="pool")(x)
    if config.num_classes:
        x = layers.Dense(config.num_classes, dtype="float32", name="head")(x)
    return keras.Model(images, x, name=name)


def _residual_block(x: KerasTensor, channels: int, strides: int, name: str) -> KerasTensor:
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 one where the shape changes."""
    shortcut, x = x, _activate(x, f"{name}_norm1")
    if strides != 1 or x.shape[-1] != channels:
        shortcut = _Convolution(channels, 1, strides, name=f"{name}_shortcut")(x)
    x = _Convolution(channels, 3, strides, name=f"{name}_conv1")(x)
    x = _Convolution(channels, 3, name=f"{name}_conv2")(_activate(x, f"{name}_norm2"))
    return layers.Add(name=name)([x, shortcut])


def _activate(x: KerasTensor, name: str) -> KerasTensor:
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=name)(x))
