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
from smallvit.layers.base import Layer
from smallvit.layers.dense import Composite
from smallvit.layers.fast import Dropout, gelu
from smallvit.layers.masks import get_attn_mask
from smallvit.layers.sizes import (
    GRID,
    SEQUENCE,
    Size,
    clamp_window,
    to_choice,
    to_count,
    to_pair,
    to_positive,
    to_rate,
)
from smallvit.layers.windows import crop_grid, pad_grid, roll_grid, window_partition, window_reverse


class DropPath(Layer):
    """Drop a whole residual branch, sample by sample (stochastic depth).

    In training each sample of a batch is zeroed with probability `rate`, and those that are kept
    are scaled by `1 / (1 - rate)`, so the expected value does not change. At inference, or with
    rate 0, nothing happens.

    Args:
        rate: probability of dropping a sample, from 0 up to but not including 1.
        seed: integer seed; by default drawn from Keras's own.
        **kwargs: the arguments of every Keras layer.

    Input and output `(batch, ...)`.

    Raises:
        ValueError: if `rate` is out of range.

    Source: Huang et al. 2016 (stochastic depth), section 3.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = to_rate(rate, "rate")
        self.seed_generator = keras.random.SeedGenerator(seed) if rate else None
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        x = ops.cast(x, self.compute_dtype)
        if not training or not self.rate:
            return x
        # In float32, since bfloat16 would round the random numbers to multiples of 1/128.
        per_sample = ops.ones((ops.shape(x)[0],) + (1,) * (len(x.shape) - 1), "float32")
        factor = keras.random.dropout(per_sample, self.rate, seed=self.seed_generator)
        return x * ops.cast(factor, x.dtype)


class Mlp(Composite):
    """Two dense layers with an exact GELU between them, applied to each token.

    Args:
        hidden_dim: channels between the two layers.
        hidden_drop: dropout rate after the GELU.
        proj_drop: dropout rate of the output.
        out_activation: activation after the second layer; the source has none.
        **kwargs: `kernel_initializer`, `bias_initializer`, and the arguments of every Keras layer.

    Input and output `(batch, ..., channels)`.

    Raises:
        ValueError: if `hidden_dim` is not a valid count.

    Source: Dosovitskiy et al. 2021 (ViT), section 3.1.
    """

    def __init__(
        self,
        hidden_dim: int,
        hidden_drop: float = 0.0,
        proj_drop: float = 0.0,
        out_activation: Any = "linear",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden_dim = to_count(hidden_dim, "hidden_dim")
        self.out_activation = keras.activations.get(out_activation)
        self.fc1 = self.dense(self.hidden_dim, "fc1")
        self.hidden_drop = Dropout(hidden_drop, dtype=self.dtype_policy, name="hidden_drop")
        self.proj_drop = Dropout(proj_drop, dtype=self.dtype_policy, name="proj_drop")

    def build(self, input_shape: tuple) -> None:
        self.fc2 = self.dense(input_shape[-1], "fc2")
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.hidden_dim))
        self.input_spec = layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    def call(self, x: Any) -> Any:
        x = self.hidden_drop(gelu(self.fc1(x)))
        return self.proj_drop(self.out_activation(self.fc2(x)))


class TransformerBlock(Composite):
    """Attention among all tokens, then an MLP, each on a residual branch with the norm first.

    Args:
        num_heads: attention heads.
        key_dim: channels per head; by default the input's channels divided by the heads.
        mlp_ratio: hidden channels of the MLP, in multiples of the channels.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        attn_drop: dropout rate of the attention weights.
        proj_drop: dropout rate of the attention's output.
        hidden_drop: dropout rate within the MLP.
        mlp_drop: dropout rate of the MLP's output.
        drop_path: rate at which either branch is dropped whole, sample by sample.
        locality: whether attention masks the diagonal and learns its temperature (LSA).
        temperature_as, temperature_per: with locality, as in `LocalitySelfAttention`.
        out_activation: activation after the MLP's second layer.
        epsilon: the LayerNormalizations'.
        qkv_initializer, proj_initializer: the attention's, as in `SelfAttention`.
        **kwargs: `kernel_initializer`, `bias_initializer`, and the arguments of every Keras layer.

    Call arguments:
        x: tensor `(batch, num_tokens, channels)`.
        return_attention_scores: whether to return the attention weights as well.

    Returns a tensor of the shape of `x`; with `return_attention_scores`, also the weights
    `(batch, num_windows, num_heads, N, N)`, here with one window of all tokens.

    Raises:
        ValueError: if a count, `mlp_ratio`, `drop_path` or `locality` is out of range, or, when it
            is built, if no `key_dim` is given and the heads do not divide the channels.

    Source: Dosovitskiy et al. 2021 (ViT), equations 2 and 3.
    """

    axes = SEQUENCE
    attentions = (SelfAttention, LocalitySelfAttention)  # without and with locality

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
        out_activation: Any = "linear",
        epsilon: float = 1e-5,
        qkv_initializer: Any = None,
        proj_initializer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        temperature = {"temperature_as": temperature_as, "temperature_per": temperature_per}
        self.make_attention = partial(
            self.attentions[to_choice(locality, "locality", (False, True))],
            num_heads=to_count(num_heads, "num_heads"),
            key_dim=key_dim,
            qkv_bias=qkv_bias,
            attn_drop=attn_drop,
            proj_drop=proj_drop,
            qkv_initializer=qkv_initializer,
            proj_initializer=proj_initializer,
            name="attn",
            **(temperature if locality else {}),
            **self.for_parts,
        )
        drops = {"hidden_drop": hidden_drop, "proj_drop": mlp_drop}
        self.make_mlp = partial(
            Mlp, out_activation=out_activation, name="mlp", **drops, **self.for_parts
        )
        self.mlp_ratio = to_positive(mlp_ratio, "mlp_ratio")
        self.drop_path = drop_path
        self.locality = locality
        self.norm1, self.norm2 = (self.layer_norm(f"norm{n}", epsilon) for n in (1, 2))
        self.drop_path1, self.drop_path2 = (
            DropPath(drop_path, dtype=self.dtype_policy, name=f"drop_path{n}") for n in (1, 2)
        )

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.build_attention(input_shape)
        self.mlp = self.make_mlp(round(input_shape[-1] * self.mlp_ratio))
        for layer in (self.norm1, self.norm2, self.mlp):
            layer.build(input_shape)

    def build_attention(self, input_shape: tuple) -> None:
        self.attn = self.make_attention()
        self.attn.build(input_shape)

    def call(self, x: Any, return_attention_scores: bool = False) -> Any:
        x = ops.cast(x, self.compute_dtype)
        attended, weights = self.attend(self.norm1(x))
        x = x + self.drop_path1(attended)
        x = x + self.drop_path2(self.mlp(self.norm2(x)))
        return (x, weights) if return_attention_scores else x

    def attend(self, x: Any) -> tuple[Any, Any]:
        """The attention's output and weights."""
        return self.attn(x, return_attention_scores=True)


class SwinTransformerBlock(TransformerBlock):
    """A transformer block on a grid of tokens, with attention within windows.

    It is built for one grid, of any size. If the window does not divide it, the grid is padded and
    the padding masked; if the window covers an axis, it is cut to that axis and not shifted.

    Args:
        num_heads: attention heads; without `key_dim`, they divide the channels.
        window_size: height and width of a window, in tokens.
        shift_size: how far the windows are shifted down and right, in tokens.
        relative_position_bias_initializer: Keras initializer of the tables of biases.
        **kwargs: `TransformerBlock`'s other arguments.

    Call arguments and results are those of `TransformerBlock`, with `x` a grid
    `(batch, height, width, channels)`.

    Raises:
        ValueError: when it is built, if the shift is not smaller than the window, or the heads do
            not divide the channels and there is no `key_dim`.

    Source: Liu et al. 2021 (Swin), section 3.2 and equation 3.
    """

    axes = GRID
    attentions = (WindowAttention, LocalityWindowAttention)

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
        self.make_attention = partial(
            self.make_attention,
            relative_position_bias_initializer=relative_position_bias_initializer,
        )

    def build_attention(self, input_shape: tuple) -> None:
        self.input_resolution = grid = tuple(input_shape[1:3])
        window, shift = clamp_window(grid, self.window_size, self.shift_size)
        self.window_size, self.shift_size = window, shift
        self.attn_mask = get_attn_mask(grid, window, shift)
        self.attn = self.make_attention(window_size=window)
        self.attn.build((None, prod(window), input_shape[-1]))
        self.input_spec = layers.InputSpec(shape=(None, *input_shape[1:]))

    def attend(self, x: Any) -> tuple[Any, Any]:
        window, shift = self.window_size, self.shift_size
        _, height, width, channels = x.shape
        x = roll_grid(pad_grid(x, window), -shift[0], -shift[1])
        _, padded_height, padded_width, _ = x.shape
        windows = window_partition(x, window)
        tokens = ops.reshape(windows, (-1, prod(window), channels))
        tokens, weights = self.attn(
            tokens,
            attn_mask=self.attn_mask,
            return_attention_scores=True,
        )
        num_windows = padded_height * padded_width // prod(window)
        weights = ops.reshape(weights, (-1, num_windows, *weights.shape[2:]))
        windows = ops.reshape(tokens, (-1, *window, channels))
        x = window_reverse(windows, window, padded_height, padded_width)
        return crop_grid(roll_grid(x, *shift), (height, width)), weights
