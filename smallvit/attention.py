"""Attention layers, and the one computation they share."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from smallvit.position import get_relative_position_index
from smallvit.sizes import Size, to_pair


def attend(
    query: Any,
    key: Any,
    value: Any,
    bias: Any,
    dropout: Callable[[Any], Any] = lambda weights: weights,
) -> tuple[Any, Any]:
    """Mix values by how well their keys answer each query.

    Args:
        query: tensor `(..., num_tokens, key_dim)`, scaled already.
        key: tensor `(..., num_tokens, key_dim)`.
        value: tensor `(..., num_tokens, value_dim)`.
        bias: what to add to the scores, positions and masks alike; it broadcasts to
            `(..., num_tokens, num_tokens)`.
        dropout: what to do to the attention weights before they mix the values.

    Returns:
        `(mixed, weights)`: the mixed values `(..., num_tokens, value_dim)` and the attention
        weights `(..., num_tokens, num_tokens)` before dropout; each row of weights sums to 1.

    Source: Vaswani et al. 2017, equation 1; the bias is Liu et al. 2021 (Swin), equation 4.
    """
    scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) + bias
    weights = ops.softmax(scores, axis=-1)
    return ops.matmul(dropout(weights), value), weights


@keras.saving.register_keras_serializable(package="smallvit")
class WindowAttention(layers.Layer):
    """Multi-head self-attention within windows, with a relative position bias.

    Args:
        window_size: height `Mh` and width `Mw` of a window, in tokens; `N = Mh * Mw`.
        num_heads: attention heads; they divide the channels.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        attn_drop: dropout rate of the attention weights.
        proj_drop: dropout rate of the output.

    Call arguments:
        windows: tensor `(batch * num_windows, N, channels)`.
        attn_mask: array `(num_windows, N, N)` added to the scores, or `None`.

    Returns a tensor of the shape of `windows`, in the layer's compute dtype.

    Source: Liu et al. 2021 (Swin), section 3.2 and equation 4.
    """

    def __init__(
        self,
        window_size: Size,
        num_heads: int,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.window_size = to_pair(window_size, "window_size")
        self.num_heads = num_heads
        self.qkv_bias = qkv_bias
        self.relative_position_index = get_relative_position_index(self.window_size)
        self.attn_drop = layers.Dropout(attn_drop, dtype=self.dtype_policy, name="attn_drop")
        self.proj_drop = layers.Dropout(proj_drop, dtype=self.dtype_policy, name="proj_drop")

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        if channels % self.num_heads:
            raise ValueError(
                f"num_heads must divide the channels; got {self.num_heads} heads for {channels}."
            )
        self.scale = (channels // self.num_heads) ** -0.5
        self.qkv = layers.Dense(
            3 * channels, use_bias=self.qkv_bias, dtype=self.dtype_policy, name="qkv"
        )
        self.proj = layers.Dense(channels, dtype=self.dtype_policy, name="proj")
        self.qkv.build(input_shape)
        self.proj.build(input_shape)
        height, width = self.window_size
        self.relative_position_bias_table = self.add_weight(
            shape=((2 * height - 1) * (2 * width - 1), self.num_heads),
            initializer="zeros",
            name="relative_position_bias_table",
        )

    def call(self, windows: Any, attn_mask: Any = None) -> Any:
        bias = self._position_bias()[None]  # 1 or num_windows, heads, N, N
        if attn_mask is not None:
            bias = bias + ops.cast(attn_mask, self.compute_dtype)[:, None]
        query, key, value = (
            self._split_heads(x, num_windows=bias.shape[0])
            for x in ops.split(self.qkv(windows), 3, axis=-1)
        )
        mixed, _ = attend(query * self.scale, key, value, bias, self.attn_drop)
        return self.proj_drop(self.proj(self._merge_heads(mixed)))

    def _position_bias(self) -> Any:
        """The bias of each pair of tokens, `(num_heads, N, N)`."""
        bias = ops.take(self.relative_position_bias_table, self.relative_position_index, axis=0)
        return ops.transpose(bias, (2, 0, 1))

    def _split_heads(self, x: Any, num_windows: int) -> Any:
        """`(batch * num_windows, N, channels)` to `(batch, num_windows, heads, N, head_dim)`."""
        _, num_tokens, channels = x.shape
        heads = (self.num_heads, channels // self.num_heads)
        x = ops.reshape(x, (-1, num_windows, num_tokens, *heads))
        return ops.transpose(x, (0, 1, 3, 2, 4))

    def _merge_heads(self, x: Any) -> Any:
        """The inverse of `_split_heads`."""
        _, _, num_heads, num_tokens, head_dim = x.shape
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        return ops.reshape(x, (-1, num_tokens, num_heads * head_dim))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "window_size": self.window_size,
            "num_heads": self.num_heads,
            "qkv_bias": self.qkv_bias,
            "attn_drop": self.attn_drop.rate,
            "proj_drop": self.proj_drop.rate,
        }
