"""Attention layers, and the one computation they share."""

from collections.abc import Callable
from math import prod
from typing import Any

import keras
from keras import layers, ops

from smallvit.layers.dropout import Dropout
from smallvit.layers.masks import get_diagonal_mask
from smallvit.layers.position import get_relative_position_index
from smallvit.layers.sizes import Size, to_pair


def attend(
    query: Any,
    key: Any,
    value: Any,
    bias: Any,
    dropout: Callable[[Any], Any] = lambda weights: weights,
    keep: Any = None,
) -> tuple[Any, Any]:
    """Mix values by how well their keys answer each query.

    Args:
        query: tensor `(batch * num_windows, num_tokens, num_heads, key_dim)`, scaled already, the
            windows of an image one after another.
        key: tensor of the query's shape.
        value: tensor `(batch * num_windows, num_tokens, num_heads, value_dim)`.
        bias: what to add to the scores, positions and masks alike: tensor of rank 4 that
            broadcasts to `(num_windows, num_heads, num_tokens, num_tokens)`.
        dropout: what to do to the attention weights before they mix the values.
        keep: 1 where a weight may stand and 0 where it must be exactly 0, shaped like the bias.
            It matters where the bias masks a whole row, which a softmax cannot express.

    Returns:
        `(mixed, weights)`: the mixed values, shaped like `value`, and the attention weights
        `(batch, num_windows, num_heads, num_tokens, num_tokens)` before dropout. Each row of
        weights sums to 1, or is 0 throughout if nothing of it is kept.

    Source: Vaswani et al. 2017, equation 1; the bias is Liu et al. 2021 (Swin), equation 4.
    """
    scores = score(query, key)
    window_by_window = (-1, bias.shape[0], *scores.shape[1:])
    weights = ops.softmax(ops.reshape(scores, window_by_window) + bias, axis=-1)
    if keep is not None:
        weights = weights * keep
    return mix(ops.reshape(dropout(weights), (-1, *scores.shape[1:])), value), weights


def score(query: Any, key: Any) -> Any:
    """Multiply each query by each key: `(batch, num_tokens, num_heads, key_dim)`, both of them.

    Returns:
        Scores `(batch, num_heads, num_tokens, num_tokens)`, a row for each query.
    """
    if _is_tiny(query):
        return ops.moveaxis(ops.sum(query[:, :, None] * key[:, None], axis=-1), -1, 1)
    return ops.einsum("bnhd,bmhd->bhnm", query, key)


def mix(weights: Any, value: Any) -> Any:
    """Add up the values `(batch, num_tokens, num_heads, value_dim)`, weighted.

    The weights are `(batch, num_heads, num_tokens, num_tokens)`, a row for each query; the sums
    have the shape of the values.
    """
    if _is_tiny(value):
        return ops.sum(ops.moveaxis(weights, 1, -1)[..., None] * value[:, None], axis=2)
    return ops.einsum("bhnm,bmhd->bnhd", weights, value)


def _is_tiny(x: Any) -> bool:
    """Whether the products are so small that plain sums are faster than any routine for them."""
    return x.shape[1] <= 8


class SelfAttention(layers.Layer):
    """What this module's layers have in common: heads, temperature, diagonal mask.

    Args:
        num_heads: attention heads.
        key_dim: channels of a head; by default an equal share of the input's.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        attn_drop: dropout rate of the attention weights.
        proj_drop: dropout rate of the output.
        diagonal_mask: whether a token is kept from looking at itself. A token that another mask
            has left alone then looks at nothing: its weights are all 0, and it gets the output
            projection's bias. (To let it look at what the other mask forbids, as a plain softmax
            over masked scores would, or at itself, would break the one mask or the other.)
        learnable_temperature: whether the number that multiplies the scores is learnt. It starts
            at `key_dim ** -0.5`, where plain attention keeps it.
        temperature_per: `"head"` or `"layer"`: how many temperatures are learnt.

    Call arguments:
        tokens: tensor `(batch * num_windows, N, channels)`; without a mask, `num_windows` is 1,
            since nothing tells windows from images.
        attn_mask: array `(num_windows, N, N)` added to the scores, or `None`.
        return_attention_scores: whether to return the attention weights, too.

    Returns a tensor of the shape of `tokens`, in the layer's compute dtype; with
    `return_attention_scores`, also the weights `(batch, num_windows, num_heads, N, N)`.

    Raises:
        ValueError: if no `key_dim` is given and the heads do not divide the channels, or
            `temperature_per` is something else.

    Source: Vaswani et al. 2017, section 3.2; locality: Lee, Lee and Song 2021, section 3.2.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        diagonal_mask: bool = False,
        learnable_temperature: bool = False,
        temperature_per: str = "head",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if temperature_per not in ("head", "layer"):
            raise ValueError(f"temperature_per must be 'head' or 'layer'; got {temperature_per!r}.")
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.qkv_bias = qkv_bias
        self.diagonal_mask = diagonal_mask
        self.learnable_temperature = learnable_temperature
        self.temperature_per = temperature_per
        self.attn_drop = Dropout(attn_drop, dtype=self.dtype_policy, name="attn_drop")
        self.proj_drop = Dropout(proj_drop, dtype=self.dtype_policy, name="proj_drop")

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        if self.key_dim is None and channels % self.num_heads:
            raise ValueError(
                f"num_heads must divide the channels; got {self.num_heads} heads for {channels}."
            )
        key_dim = self.key_dim or channels // self.num_heads
        self.heads = (self.num_heads, key_dim)
        inner_dim = prod(self.heads)
        self.qkv = layers.Dense(
            3 * inner_dim, use_bias=self.qkv_bias, dtype=self.dtype_policy, name="qkv"
        )
        self.proj = layers.Dense(channels, dtype=self.dtype_policy, name="proj")
        self.qkv.build(input_shape)
        self.proj.build((*input_shape[:-1], inner_dim))
        self.temperature = key_dim**-0.5
        if self.learnable_temperature:
            self.temperature = self.add_weight(
                shape=(self.num_heads if self.temperature_per == "head" else 1, 1),
                initializer=keras.initializers.Constant(key_dim**-0.5),
                name="temperature",
            )

    def call(
        self, tokens: Any, attn_mask: Any = None, return_attention_scores: bool = False
    ) -> Any:
        num_tokens = tokens.shape[1]
        mask = self._combine_masks(attn_mask, num_tokens)
        bias = self._position_bias() + mask
        # The diagonal alone masks a whole row only where a token has no other.
        rows_may_vanish = self.diagonal_mask and (attn_mask is not None or num_tokens == 1)
        keep = ops.cast(ops.equal(mask, 0), self.compute_dtype) if rows_may_vanish else None
        query, key, value = (
            ops.reshape(x, (-1, num_tokens, *self.heads))
            for x in ops.split(self.qkv(tokens), 3, axis=-1)
        )
        mixed, weights = attend(query * self.temperature, key, value, bias, self.attn_drop, keep)
        output = self.proj_drop(self.proj(ops.reshape(mixed, (-1, num_tokens, prod(self.heads)))))
        return (output, weights) if return_attention_scores else output

    def _position_bias(self) -> Any:
        """What positions add to the scores; it broadcasts to `(1, num_heads, N, N)`."""
        return 0.0

    def _combine_masks(self, attn_mask: Any, num_tokens: int) -> Any:
        """Window and diagonal mask in one, `(1 or num_windows, 1, N, N)`; 0 where neither masks."""
        mask = ops.zeros((1, num_tokens, num_tokens), self.compute_dtype)
        if attn_mask is not None:
            mask = mask + ops.cast(attn_mask, self.compute_dtype)
        if self.diagonal_mask:
            mask = mask + ops.cast(get_diagonal_mask(num_tokens), self.compute_dtype)
        return mask[:, None]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "qkv_bias": self.qkv_bias,
            "attn_drop": self.attn_drop.rate,
            "proj_drop": self.proj_drop.rate,
            "diagonal_mask": self.diagonal_mask,
            "learnable_temperature": self.learnable_temperature,
            "temperature_per": self.temperature_per,
        }


@keras.saving.register_keras_serializable(package="smallvit")
class LocalitySelfAttention(SelfAttention):
    """Self-attention that looks away from itself, with a temperature it learns (LSA).

    In a sequence of similar tokens, a token's score with itself is the largest, and a small
    temperature is needed to tell the others apart. LSA masks that score out and learns the
    temperature. Arguments and results are those of `SelfAttention`; without both parts it
    is `keras.layers.MultiHeadAttention`.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), section 3.2 and equations 7 to 9.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        diagonal_mask: bool = True,
        learnable_temperature: bool = True,
        **kwargs: Any,
    ):
        super().__init__(
            num_heads,
            key_dim,
            diagonal_mask=diagonal_mask,
            learnable_temperature=learnable_temperature,
            **kwargs,
        )


@keras.saving.register_keras_serializable(package="smallvit")
class WindowAttention(SelfAttention):
    """Multi-head self-attention within windows, with a relative position bias.

    Args:
        window_size: height `Mh` and width `Mw` of a window, in tokens; `N = Mh * Mw`.
        num_heads: attention heads; they divide the channels.
        **kwargs: `SelfAttention`'s other arguments. With `diagonal_mask` and
            `learnable_temperature` it is SL-Swin's attention: the masks are added after scale and
            position bias.

    Call arguments and results are those of `SelfAttention`.

    Source: Liu et al. 2021 (Swin), section 3.2 and equation 4.
    """

    def __init__(self, window_size: Size, num_heads: int, **kwargs: Any):
        super().__init__(num_heads, **kwargs)
        self.window_size = to_pair(window_size, "window_size")
        self.relative_position_index = get_relative_position_index(self.window_size)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        height, width = self.window_size
        self.relative_position_bias_table = self.add_weight(
            shape=((2 * height - 1) * (2 * width - 1), self.num_heads),
            initializer="zeros",
            name="relative_position_bias_table",
        )

    def _position_bias(self) -> Any:
        # Along the last axis: taking rows has, on TensorFlow, a sparse gradient that repeats rows,
        # and Keras's Adam squares its entries one by one instead of squaring their sum.
        table = ops.transpose(self.relative_position_bias_table)
        return ops.take(table, self.relative_position_index, axis=1)[None]

    def get_config(self) -> dict:
        return {**super().get_config(), "window_size": self.window_size}
