"""A small residual convolutional network: what the transformers of this book are compared with."""

from dataclasses import dataclass

import keras
from keras import layers

from smallvit.layers.sizes import Size, to_pair


@dataclass(frozen=True)
class ConvNetConfig:
    """A residual convolutional network in two stages.

    Args:
        image_size: height and width of an image, in pixels.
        num_classes: outputs of the head.
        embed_dim: channels of the first stage, on a grid of half the image's height and width.
        depth: residual blocks of the first stage.
        final_dim: channels of the second stage, on a grid of a quarter of the height and width.
        final_depth: residual blocks of the second stage, the one that halves the grid included.
    """

    image_size: Size = 32
    num_classes: int = 100
    embed_dim: int = 24
    depth: int = 1
    final_dim: int = 64
    final_depth: int = 2


def convolutional_network(config: ConvNetConfig, name: str = "convnet") -> keras.Model:
    """Build a residual convolutional network as a functional Keras model.

    Args:
        config: its sizes.
        name: the model's name.

    Returns:
        Model from images `(batch, height, width, 3)`, floats scaled as the recipe says, to logits
        `(batch, num_classes)`, float32 whatever the dtype policy.

    Source: He et al. 2016 (identity mappings in residual networks), figure 4e: normalisation and
    activation come before each convolution.
    """
    images = keras.Input((*to_pair(config.image_size, "image_size"), 3), name="images")
    x = _convolve(images, config.embed_dim, strides=2, name="stem")
    for block in range(1, config.depth + 1):
        x = _residual_block(x, config.embed_dim, strides=1, name=f"stage1_block{block}")
    for block in range(1, config.final_depth + 1):
        strides = 2 if block == 1 else 1
        x = _residual_block(x, config.final_dim, strides, name=f"stage2_block{block}")
    x = _activate(x, name="norm")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(config.num_classes, dtype="float32", name="head")(x)
    return keras.Model(images, logits, name=name)


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
        use_bias=False,  # a normalisation follows
        kernel_initializer="he_normal",
        name=name,
    )
    return convolution(x)
