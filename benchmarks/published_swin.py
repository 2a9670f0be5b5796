"""The Keras code example 'Image classification with Swin Transformers', as a baseline to time.

What is computed, in which order, by which layers and in which dtype, is the example's; names and
lines are this project's. Kept with the rest: one Dropout serves a block's two branches, and
another both attention weights and projection; `drop_path` drops single elements; the mask is cast
to float32; patches are cut outside the model, which takes `(batch, 256, 12)`.

Left out: flips and crops, which the example does outside the model, and the clamping of windows
larger than the grid, which never happens with its numbers. Renamed: the argument `mask`, because
Keras warns about it.

Source: keras.io, examples/vision/swin_transformers, Keras 3 version; Apache License 2.0.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

GRID = (16, 16)
DIM = 64
NUM_HEADS = 8
WINDOW = 2
HIDDEN_DIM = 256
DROP_RATE = 0.03


def partition(x: Any) -> Any:
    """Grids `(batch, height, width, channels)` to windows `(many, 2, 2, channels)`."""
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, WINDOW, WINDOW, channels))


def reverse(windows: Any) -> Any:
    """Windows `(many, 2, 2, channels)` to grids `(batch, 16, 16, channels)`."""
    (height, width), channels = GRID, windows.shape[-1]
    x = ops.reshape(windows, (-1, height // WINDOW, width // WINDOW, WINDOW, WINDOW, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height, width, channels))


def position_index() -> np.ndarray:
    """`(4, 4)` int64: the row of the bias table for each query and key."""
    y, x = np.divmod(np.arange(WINDOW * WINDOW), WINDOW)
    dy = y[:, None] - y[None, :] + WINDOW - 1
    dx = x[:, None] - x[None, :] + WINDOW - 1
    return dy * (2 * WINDOW - 1) + dx


def shift_mask() -> np.ndarray:
    """`(64, 4, 4)` float64: -100 between tokens that only the roll has brought together."""
    region = np.zeros((1, *GRID, 1))
    edges = slice(0, -WINDOW), slice(-WINDOW, -1), slice(-1, None)
    for number, (rows, columns) in enumerate((r, c) for r in edges for c in edges):
        region[:, rows, columns] = number
    windows = ops.convert_to_numpy(partition(region)).reshape(-1, WINDOW * WINDOW)
    return np.where(windows[:, :, None] != windows[:, None, :], -100.0, 0.0)


class WindowAttention(layers.Layer):
    """Attention within windows `(many, 4, 64)`."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = (DIM // NUM_HEADS) ** -0.5
        self.qkv = layers.Dense(3 * DIM)
        self.dropout = layers.Dropout(DROP_RATE)
        self.proj = layers.Dense(DIM)
        self.bias_table = self.add_weight(
            shape=((2 * WINDOW - 1) ** 2, NUM_HEADS), initializer="zeros"
        )
        index = position_index()
        self.index = keras.Variable(index, shape=index.shape, dtype="int", trainable=False)

    def call(self, x: Any, attn_mask: Any = None) -> Any:
        _, size, channels = x.shape
        qkv = ops.reshape(self.qkv(x), (-1, size, 3, NUM_HEADS, channels // NUM_HEADS))
        qkv = ops.transpose(qkv, (2, 0, 3, 1, 4))
        query, key, value = qkv[0], qkv[1], qkv[2]
        query = query * self.scale
        scores = query @ ops.transpose(key, (0, 1, 3, 2))

        bias = ops.take(self.bias_table, ops.reshape(self.index, (-1,)), axis=0)
        bias = ops.transpose(ops.reshape(bias, (size, size, -1)), (2, 0, 1))
        scores = scores + ops.expand_dims(bias, axis=0)
        if attn_mask is not None:
            mask = ops.expand_dims(ops.expand_dims(attn_mask, axis=1), axis=0)
            shape = (-1, mask.shape[1], NUM_HEADS, size, size)
            scores = ops.reshape(scores, shape) + ops.cast(mask, "float32")
            scores = ops.reshape(scores, (-1, NUM_HEADS, size, size))
        weights = self.dropout(keras.activations.softmax(scores, axis=-1))

        x = ops.transpose(weights @ value, (0, 2, 1, 3))
        return self.dropout(self.proj(ops.reshape(x, (-1, size, channels))))


class SwinTransformer(layers.Layer):
    """A block on tokens `(batch, 256, 64)`, its windows shifted or not."""

    def __init__(self, shift: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.shift = shift
        self.norm1 = layers.LayerNormalization(epsilon=1e-5)
        self.attn = WindowAttention()
        self.drop_path = layers.Dropout(DROP_RATE)
        self.norm2 = layers.LayerNormalization(epsilon=1e-5)
        self.mlp = keras.Sequential(
            [
                layers.Dense(HIDDEN_DIM),
                layers.Activation(keras.activations.gelu),
                layers.Dropout(DROP_RATE),
                layers.Dense(DIM),
                layers.Dropout(DROP_RATE),
            ]
        )

    def build(self, input_shape: tuple) -> None:
        self.attn_mask = None
        if self.shift:
            mask = ops.convert_to_tensor(shift_mask())
            self.attn_mask = keras.Variable(
                mask, shape=mask.shape, dtype=mask.dtype, trainable=False
            )

    def call(self, x: Any, training: bool = False) -> Any:
        skip = x
        x = ops.reshape(self.norm1(x), (-1, *GRID, DIM))
        if self.shift:
            x = ops.roll(x, shift=[-self.shift, -self.shift], axis=[1, 2])
        windows = ops.reshape(partition(x), (-1, WINDOW * WINDOW, DIM))
        windows = self.attn(windows, attn_mask=self.attn_mask)
        x = reverse(ops.reshape(windows, (-1, WINDOW, WINDOW, DIM)))
        if self.shift:
            x = ops.roll(x, shift=[self.shift, self.shift], axis=[1, 2])
        x = ops.reshape(x, (-1, GRID[0] * GRID[1], DIM))
        x = skip + self.drop_path(x, training=training)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbedding(layers.Layer):
    """Patches `(batch, 256, 12)` to tokens `(batch, 256, 64)`, positions added."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_patches = GRID[0] * GRID[1]
        self.proj = layers.Dense(DIM)
        self.positions = layers.Embedding(self.num_patches, DIM)

    def call(self, patches: Any) -> Any:
        return self.proj(patches) + self.positions(ops.arange(self.num_patches))


class PatchMerging(layers.Layer):
    """Tokens `(batch, 256, 64)` to `(batch, 64, 128)`."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.reduction = layers.Dense(2 * DIM, use_bias=False)

    def call(self, x: Any) -> Any:
        x = ops.reshape(x, (-1, *GRID, DIM))
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        x = ops.concatenate(corners, axis=-1)
        return self.reduction(ops.reshape(x, (-1, GRID[0] * GRID[1] // 4, 4 * DIM)))


def build_model() -> keras.Model:
    """The model, from patches `(batch, 256, 12)` to probabilities `(batch, 100)`."""
    patches = keras.Input((GRID[0] * GRID[1], 12))
    x = PatchEmbedding()(patches)
    for shift in (0, 1):
        x = SwinTransformer(shift)(x)
    x = layers.GlobalAveragePooling1D()(PatchMerging()(x))
    return keras.Model(patches, layers.Dense(100, activation="softmax")(x))


def build_compiled() -> keras.Model:
    """Build the model and compile it as the example does."""
    model = build_model()
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        optimizer=keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            keras.metrics.TopKCategoricalAccuracy(5, name="top-5-accuracy"),
        ],
    )
    return model
