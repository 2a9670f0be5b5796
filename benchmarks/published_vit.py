"""The Keras code example 'Train a Vision Transformer on small datasets', as a baseline to time.

What is computed, in which order, by which layers and in which dtype, is the example's; names and
lines are this project's. What had to change, and nothing else:

- The example's attention overrides a private method of `MultiHeadAttention` that has since got
  two more arguments, so on current Keras it raises. Here they are accepted and ignored.
- Its temperature `tau` is a `tf.Variable`, which Keras 3 does not see. Here it is a weight of the
  layer, as it was in the Keras 2 that gave the published accuracy: one per layer, and it learns.
- Crop, padding and patches come from `keras.ops`, so that JAX needs no TensorFlow; on TensorFlow
  the patches are cut by `tf.image.extract_patches`, as published.

Left out: the augmentation, which is the example's first layer. Neither side's is timed; the model
takes images of 72 x 72.

Source: keras.io, examples/vision/vit_small_ds; Apache License 2.0.
"""

import math
from typing import Any

import keras
from keras import layers, ops

IMAGE = 72
PATCH = 6
NUM_PATCHES = (IMAGE // PATCH) ** 2
DIM = 64
DEPTH = 8
NUM_HEADS = 4
EPSILON = 1e-6


def extract_patches(images: Any) -> Any:
    """Images `(batch, 72, 72, channels)` to `(batch, 12, 12, 36 * channels)`."""
    if keras.backend.backend() != "tensorflow":
        return ops.image.extract_patches(images, PATCH, strides=PATCH, padding="valid")
    import tensorflow as tf

    steps = [1, PATCH, PATCH, 1]
    return tf.image.extract_patches(images, steps, steps, [1, 1, 1, 1], padding="VALID")


class PatchTokenization(layers.Layer):
    """Images `(batch, 72, 72, 3)` to tokens `(batch, 144, 64)`, shifted (SPT) unless vanilla."""

    def __init__(self, vanilla: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.vanilla = vanilla
        self.flatten = layers.Reshape((NUM_PATCHES, -1))
        self.projection = layers.Dense(DIM)
        self.layer_norm = None if vanilla else layers.LayerNormalization(epsilon=EPSILON)

    def call(self, images: Any) -> Any:
        if not self.vanilla:
            half = PATCH // 2
            offsets = [(half, half), (0, half), (half, 0), (0, 0)]
            images = ops.concatenate([images, *(crop_shift_pad(images, *o) for o in offsets)], -1)
        patches = self.flatten(extract_patches(images))
        return self.projection(patches if self.vanilla else self.layer_norm(patches))


def crop_shift_pad(images: Any, top: int, left: int) -> Any:
    """Cut off `top` rows and `left` columns, or as many at the other end; fill up with zeros."""
    half = PATCH // 2
    size = IMAGE - half
    crop = images[:, top : top + size, left : left + size]
    return ops.pad(crop, ((0, 0), (half - top, top), (half - left, left), (0, 0)))


class PatchEncoder(layers.Layer):
    """Add to tokens `(batch, 144, 64)` their positions."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.position_embedding = layers.Embedding(NUM_PATCHES, DIM)
        self.positions = ops.arange(NUM_PATCHES)

    def call(self, tokens: Any) -> Any:
        return tokens + self.position_embedding(self.positions)


class LocalityAttention(layers.MultiHeadAttention):
    """Keras's own attention with a temperature that learns (LSA)."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        start = math.sqrt(self._key_dim)
        self.tau = self.add_weight(shape=(), initializer=keras.initializers.Constant(start))

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:
        query = ops.multiply(query, 1.0 / self.tau)
        scores = ops.einsum(self._dot_product_equation, key, query)
        weights = self._masked_softmax(scores, attention_mask)
        dropped = self._dropout_layer(weights, training=training)
        return ops.einsum(self._combine_equation, dropped, value), weights


def mlp(x: Any, units: list[int], rate: float) -> Any:
    """Dense layers with a GELU and a dropout each."""
    for width in units:
        x = layers.Dropout(rate)(layers.Dense(width, activation="gelu")(x))
    return x


def build_model(vanilla: bool = False) -> keras.Model:
    """The model, from images `(batch, 72, 72, 3)` to logits `(batch, 100)`."""
    diagonal_mask = ops.cast([1 - ops.eye(NUM_PATCHES)], "int8")
    images = keras.Input((IMAGE, IMAGE, 3))
    x = PatchEncoder()(PatchTokenization(vanilla)(images))
    for _ in range(DEPTH):
        normed = layers.LayerNormalization(epsilon=EPSILON)(x)
        if vanilla:
            attention = layers.MultiHeadAttention(NUM_HEADS, DIM, dropout=0.1)
            attended = attention(normed, normed)
        else:
            attention = LocalityAttention(NUM_HEADS, DIM, dropout=0.1)
            attended = attention(normed, normed, attention_mask=diagonal_mask)
        skip = layers.Add()([attended, x])
        x = mlp(layers.LayerNormalization(epsilon=EPSILON)(skip), [2 * DIM, DIM], 0.1)
        x = layers.Add()([x, skip])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=EPSILON)(x))
    x = mlp(layers.Dropout(0.5)(x), [2048, 1024], 0.5)
    return keras.Model(images, layers.Dense(100)(x))


def build_compiled() -> keras.Model:
    """Build the model and compile it as the example does.

    The example also makes a warm-up schedule, which never reaches the optimizer.
    """
    model = build_model()
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=1e-3, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseTopKCategoricalAccuracy(5, name="top-5-accuracy"),
        ],
    )
    return model
