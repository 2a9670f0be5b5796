"""Transformer blocks and what they are made of."""

from functools import partial
from math import prod
from typing import Any

import keras
from keras import layers, ops

from smallvit.layers.attention import (
    LocalitySelfAttention,
    LocalityWindowAttention,
    SelfAttention,
    WindowAttention,
)
from smallvit.layers.dense import Composite, Dense
from smallvit.layers.fast import Dropout, gelu
from smallvit.layers.masks import get_attn_mask
from smallvit.layers.patches import crop_grid, pad_grid
from smallvit.layers.sizes import Size, clamp_window, pad_to_multiple, to_pair
from smallvit.layers.windows import window_partition, window_reverse


@keras.saving.register_keras_serializable(package="smallvit")
class DropPath(layers.Layer):
    """Drop a whole residual branch, sample by sample (stochastic depth).

    In training each sample of a batch is zeroed with probability `rate`, and those that are kept
    are scaled by `1 / (1 - rate)`, so the expected value does not change. At inference, or with
    rate 0, nothing happens.

    Args:
        rate: probability of dropping a sample, from 0 up to but not including 1.
        seed: integer seed; by default drawn from Keras's own.

    Input and output `(batch, ...)`.

    Raises:
        ValueError: if `rate` is out of range.

    Source: Huang et al. 2016 (stochastic depth), section 3.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and less than 1; got {rate}.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if rate else None
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        if not training or not self.rate:
            return x
        per_sample = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        return keras.random.dropout(x, self.rate, per_sample, seed=self.seed_generator)

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="smallvit")
class Mlp(Composite):
    """Two dense layers with an exact GELU between them, applied to each token.

    Args:
        hidden_dim: channels between the two layers.
        hidden_drop: dropout rate after the GELU.
        proj_drop: dropout rate of the output.
        out_activation: what follows the second layer; the source has nothing there.
        **kwargs: `kernel_initializer`, `bias_initializer`, and the arguments of every Keras layer.

    Input and output `(..., channels)`.

    Source: Dosovitskiy et al. 2021 (ViT), section 3.1.
    """

    def __init__(
        self,
        hidden_dim: int,
        hidden_drop: float = 0.0,
        proj_drop: float = 0.0,
        out_activation: str = "linear",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.out_activation = keras.activations.get(out_activation)
        self.fc1 = Dense(hidden_dim, name="fc1", **self.for_parts)
        self.hidden_drop = Dropout(hidden_drop, dtype=self.dtype_policy, name="hidden_drop")
        self.proj_drop = Dropout(proj_drop, dtype=self.dtype_policy, name="proj_drop")

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        self.fc2 = Dense(channels, name="fc2", **self.for_parts)
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x: Any) -> Any:
        x = gelu(self.fc1(x))
        return self.proj_drop(self.out_activation(self.fc2(self.hidden_drop(x))))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "hidden_drop": self.hidden_drop.rate,
            "proj_drop": self.proj_drop.rate,
            "out_activation": keras.activations.serialize(self.out_activation),
        }


@keras.saving.register_keras_serializable(package="smallvit")
class TransformerBlock(Composite):
    """Attention among all tokens, then an MLP, each on a residual branch with the norm first.

    Args:
        num_heads: attention heads.
        key_dim: channels of a head; by default an equal share of the input's.
        mlp_ratio: hidden channels of the MLP, in multiples of the channels.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        attn_drop: dropout rate of the attention weights.
        proj_drop: dropout rate of the attention's output.
        hidden_drop: dropout rate within the MLP.
        mlp_drop: dropout rate of the MLP's output.
        drop_path: rate at which either branch is dropped whole, sample by sample.
        locality: whether attention masks the diagonal and learns its temperature (LSA).
        temperature_as: `"multiplier"` or `"divisor"`: how the temperature acts on the scores.
        temperature_per: `"head"` or `"layer"`: how many temperatures are learnt.
        out_activation: what follows the MLP's second layer.
        epsilon: the LayerNormalizations'.
        qkv_initializer: of the kernels for queries, keys and values; by default the others'.
        proj_initializer: of the attention's output projection; by default the others'.
        **kwargs: `kernel_initializer`, `bias_initializer`, and the arguments of every Keras layer.

    Call arguments:
        x: tensor `(batch, num_tokens, channels)`.
        return_attention_scores: whether to return the attention weights, too.

    Returns a tensor of the shape of `x`; with `return_attention_scores`, also the weights
    `(batch, num_windows, num_heads, N, N)`, here with one window of all tokens.

    Source: Dosovitskiy et al. 2021 (ViT), equations 2 and 3.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        hidden_drop: float = 0.0,
        mlp_drop: float = 0.0,
        drop_path: float = 0.0,
        locality: bool = False,
        temperature_as: str = "multiplier",
        temperature_per: str = "head",
        out_activation: str = "linear",
        epsilon: float = 1e-5,
        qkv_initializer: Any = None,
        proj_initializer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.qkv_initializer = keras.initializers.get(qkv_initializer or self.kernel_initializer)
        self.proj_initializer = keras.initializers.get(proj_initializer or self.kernel_initializer)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.mlp_ratio = mlp_ratio
        self.qkv_bias = qkv_bias
        self.attn_drop = attn_drop
        self.proj_drop = proj_drop
        self.hidden_drop = hidden_drop
        self.mlp_drop = mlp_drop
        self.drop_path = drop_path
        self.locality = locality
        self.temperature_as = temperature_as
        self.temperature_per = temperature_per
        self.out_activation = out_activation
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        norm = partial(layers.LayerNormalization, epsilon=self.epsilon, dtype=self.dtype_policy)
        self.norm1 = norm(name="norm1")
        self.attn = self._make_attention(
            num_heads=self.num_heads,
            key_dim=self.key_dim,
            qkv_bias=self.qkv_bias,
            attn_drop=self.attn_drop,
            proj_drop=self.proj_drop,
            qkv_initializer=self.qkv_initializer,
            proj_initializer=self.proj_initializer,
            name="attn",
            **self._locality_arguments(),
            **self.for_parts,
        )
        self.drop_path1 = DropPath(self.drop_path, dtype=self.dtype_policy, name="drop_path1")
        self.norm2 = norm(name="norm2")
        self.mlp = Mlp(
            int(input_shape[-1] * self.mlp_ratio),
            hidden_drop=self.hidden_drop,
            proj_drop=self.mlp_drop,
            out_activation=self.out_activation,
            name="mlp",
            **self.for_parts,
        )
        self.drop_path2 = DropPath(self.drop_path, dtype=self.dtype_policy, name="drop_path2")
        self.attn.build(self._attention_shape(input_shape))
        for layer in (self.norm1, self.norm2, self.mlp):
            layer.build(input_shape)

    def call(self, x: Any, return_attention_scores: bool = False) -> Any:
        attended, weights = self._attend(self.norm1(x))
        x = x + self.drop_path1(attended)
        x = x + self.drop_path2(self.mlp(self.norm2(x)))
        return (x, weights) if return_attention_scores else x

    def _make_attention(self, **arguments: Any) -> SelfAttention:
        return (LocalitySelfAttention if self.locality else SelfAttention)(**arguments)

    def _locality_arguments(self) -> dict:
        if not self.locality:
            return {}
        return {"temperature_as": self.temperature_as, "temperature_per": self.temperature_per}

    def _attention_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def _attend(self, x: Any) -> tuple[Any, Any]:
        return self.attn(x, return_attention_scores=True)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "attn_drop": self.attn_drop,
            "proj_drop": self.proj_drop,
            "hidden_drop": self.hidden_drop,
            "mlp_drop": self.mlp_drop,
            "drop_path": self.drop_path,
            "locality": self.locality,
            "temperature_as": self.temperature_as,
            "temperature_per": self.temperature_per,
            "out_activation": self.out_activation,
            "epsilon": self.epsilon,
            "qkv_initializer": keras.initializers.serialize(self.qkv_initializer),
            "proj_initializer": keras.initializers.serialize(self.proj_initializer),
        }


@keras.saving.register_keras_serializable(package="smallvit")
class SwinTransformerBlock(TransformerBlock):
    """A transformer block on a grid of tokens, whose attention stays within windows.

    Any grid will do. Where the window does not divide it, the grid is padded and the padding
    masked; where the window covers an axis, it is cut to that axis and not shifted.

    Args:
        num_heads: attention heads; they divide the channels.
        window_size: height and width of a window, in tokens.
        shift_size: how far the windows are shifted down and right, in tokens.
        relative_position_bias_initializer: of the table of relative position biases.
        **kwargs: `TransformerBlock`'s other arguments.

    Call arguments and results are those of `TransformerBlock`, with `x` a grid
    `(batch, height, width, channels)`.

    Raises:
        ValueError: when it is built, if the shift is not smaller than the window, or the heads do
            not divide the channels.

    Source: Liu et al. 2021 (Swin), section 3.2 and equation 3.
    """

    def __init__(
        self,
        num_heads: int,
        window_size: Size,
        shift_size: Size = 0,
        relative_position_bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(num_heads, **kwargs)
        self.window_size = to_pair(window_size, "window_size")
        self.shift_size = to_pair(shift_size, "shift_size", minimum=0)
        self.relative_position_bias_initializer = keras.initializers.get(
            relative_position_bias_initializer
        )

    def build(self, input_shape: tuple) -> None:
        self.input_resolution = tuple(input_shape[1:3])
        self.window, self.shift = clamp_window(
            self.input_resolution, self.window_size, self.shift_size
        )
        self.attn_mask = get_attn_mask(self.input_resolution, self.window, self.shift)
        super().build(input_shape)

    def _make_attention(self, **arguments: Any) -> WindowAttention:
        attention = LocalityWindowAttention if self.locality else WindowAttention
        return attention(
            self.window,
            relative_position_bias_initializer=self.relative_position_bias_initializer,
            **arguments,
        )

    def _attention_shape(self, input_shape: tuple) -> tuple:
        return (None, prod(self.window), input_shape[-1])

    def _attend(self, x: Any) -> tuple[Any, Any]:
        _, height, width, channels = x.shape
        padded_height, padded_width = pad_to_multiple((height, width), self.window)
        x = roll_grid(pad_grid(x, (padded_height, padded_width)), -self.shift[0], -self.shift[1])
        windows = window_partition(x, self.window)
        tokens = ops.reshape(windows, (-1, self.window[0] * self.window[1], channels))
        tokens, weights = self.attn(tokens, attn_mask=self.attn_mask, return_attention_scores=True)
        num_windows = padded_height // self.window[0] * (padded_width // self.window[1])
        weights = ops.reshape(weights, (-1, num_windows, *weights.shape[2:]))
        windows = ops.reshape(tokens, (-1, *self.window, channels))
        x = window_reverse(windows, self.window, padded_height, padded_width)
        return crop_grid(roll_grid(x, *self.shift), (height, width)), weights

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "window_size": self.window_size,
            "shift_size": self.shift_size,
            "relative_position_bias_initializer": keras.initializers.serialize(
                self.relative_position_bias_initializer
            ),
        }


def roll_grid(x: Any, down: int, right: int) -> Any:
    """Roll `(batch, height, width, channels)` by so many tokens, round the edges."""
    return ops.roll(x, (down, right), axis=(1, 2)) if down or right else x
