"""A small residual convolutional network: what the transformers of this book are compared with."""

from dataclasses import dataclass

import keras
from keras import layers

from smallvit.layers.sizes import to_pair
from smallvit.models.config import Count, CountOrZero, ModelConfig


@dataclass(frozen=True)
class ConvNetConfig(ModelConfig):
    """A residual convolutional network in two stages.

    Args:
        image_size: height and width of an image, in pixels.
        channels: channels of an image.
        num_classes: outputs of the head; 0 for a model without a head, which returns features.
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
    x = _convolve(images, config.embed_dim, strides=2, name="stem")
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


def _residual_block(
    x: keras.KerasTensor, channels: int, strides: int, name: str
) -> keras.KerasTensor:
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 one where the shape changes."""
    activated = _activate(x, f"{name}_norm1")
    shortcut = x
    if strides != 1 or x.shape[-1] != channels:
        shortcut = _convolve(activated, channels, strides, f"{name}_shortcut", kernel_size=1)
    x = _convolve(activated, channels, strides, f"{name}_conv1")
    x = _convolve(_activate(x, f"{name}_norm2"), channels, 1, f"{name}_conv2")
    return layers.Add(name=name)([x, shortcut])


def _activate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=name)(x))


def _convolve(
    x: keras.KerasTensor, channels: int, strides: int, name: str, kernel_size: int = 3
) -> keras.KerasTensor:
    convolution = layers.Conv2D(
        channels,
        kernel_size,
        strides,
        padding="same",
        data_format="channels_last",
        use_bias=False,  # a normalisation follows
        kernel_initializer="he_normal",
        name=name,
    )
    return convolution(x)
