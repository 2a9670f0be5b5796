"""Self-attention: among all tokens, within windows, and with locality."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from smallvit.layers.base import copy_initializer
from smallvit.layers.dense import Composite
from smallvit.layers.fast import Dropout, einsum
from smallvit.layers.masks import get_diagonal_mask, masked_softmax, to_additive
from smallvit.layers.position import get_relative_position_index
from smallvit.layers.sizes import SEQUENCE, Size, to_choice, to_count, to_pair


def attend(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = 0.0,
    mask: Any = None,
    dropout: Callable[[Any], Any] = lambda weights: weights,
) -> tuple[Any, Any]:
    """Dot-product attention with an additive bias and an additive mask, window by window.

    Args:
        query: scaled queries `(batch * num_windows, num_tokens, num_heads, key_dim)`, the windows
            of an image one after another.
        key: tensor of the query's shape.
        value: tensor `(batch * num_windows, num_tokens, num_heads, value_dim)`.
        bias: added to the scores; broadcasts to `(1, num_heads, num_tokens, num_tokens)`.
        mask: added to the scores, too: floats `(num_windows, num_tokens, num_tokens)`, of which
            -100 or less forbids a pair. Without a mask, `num_windows` is 1.
        dropout: applied to the attention weights before they mix the values.

    Returns:
        `(mixed, weights)`: the mixed values, shaped like `value`, and the attention weights
        `(batch, num_windows, num_heads, num_tokens, num_tokens)` before dropout. Each row of
        weights sums to 1, or to 0 if the mask forbids all of it, which a softmax cannot express.

    The number of tokens has to be known when the function is traced.

    Source: Vaswani et al. 2017, equation 1; the bias is Liu et al. 2021 (Swin), equation 4.
    """
    scores = einsum("bnhd,bmhd->bhnm", query, key) + bias
    weights = masked_softmax(scores, mask)
    dropped = ops.reshape(dropout(weights), (-1, *scores.shape[1:]))
    return einsum("bhnm,bmhd->bnhd", dropped, value), weights


class SelfAttention(Composite):
    """Multi-head self-attention.

    Args:
        num_heads: attention heads.
        key_dim: channels per head; by default the input's channels divided by the heads.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        attn_drop: dropout rate of the attention weights.
        proj_drop: dropout rate of the output.
        qkv_initializer: of the kernel for queries, keys and values; by default the others'.
        proj_initializer: of the output projection's kernel; by default the others'.
        **kwargs: `kernel_initializer`, `bias_initializer`, and the arguments of every Keras layer.

    Call arguments:
        tokens: tensor `(batch * num_windows, N, channels)`; without a mask, `num_windows` is 1.
        attn_mask: array `(num_windows, N, N)`: booleans, `True` if a token may attend to another,
            or floats to add to the scores, of which -100 or less forbids. A token that may attend
            to none gets weights of 0, hence the output projection's bias.
        return_attention_scores: whether to return the attention weights as well.

    Returns a tensor of the shape of `tokens`, in the layer's compute dtype; with
    `return_attention_scores`, also the weights `(batch, num_windows, num_heads, N, N)`.

    Raises:
        ValueError: if no `key_dim` is given and the heads do not divide the channels, or a mask
            does not fit.

    Source: Vaswani et al. 2017, section 3.2.
    """

    axes = SEQUENCE

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        qkv_initializer: Any = None,
        proj_initializer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.qkv_initializer = qkv_initializer
        self.proj_initializer = proj_initializer
        self.num_heads = to_count(num_heads, "num_heads")
        self.key_dim = None if key_dim is None else to_count(key_dim, "key_dim")
        self.qkv_bias = qkv_bias
        self.attn_drop = Dropout(attn_drop, dtype=self.dtype_policy, name="attn_drop")
        self.proj_drop = Dropout(proj_drop, dtype=self.dtype_policy, name="proj_drop")

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        channels = input_shape[-1]
        if self.key_dim is None and channels % self.num_heads:
            raise ValueError(
                f"num_heads must divide the channels; got {self.num_heads} heads for {channels}."
            )
        self.key_dim = self.key_dim or channels // self.num_heads
        inner_dim = self.num_heads * self.key_dim
        self.qkv = self.dense(3 * inner_dim, "qkv", self.qkv_initializer, use_bias=self.qkv_bias)
        self.proj = self.dense(channels, "proj", self.proj_initializer)
        self.qkv.build(input_shape)
        self.proj.build((*input_shape[:-1], inner_dim))

    def call(
        self, tokens: Any, attn_mask: Any = None, return_attention_scores: bool = False
    ) -> Any:
        num_tokens = tokens.shape[1]
        projected = ops.split(self.qkv(tokens), 3, axis=-1)
        heads = (-1, num_tokens, self.num_heads, self.key_dim)
        query, key, value = (ops.reshape(x, heads) for x in projected)
        bias, mask = self.position_bias(), self.additive_mask(attn_mask, query)
        mixed, weights = attend(query * self.scale, key, value, bias, mask, self.attn_drop)
        side_by_side = ops.reshape(mixed, (-1, num_tokens, self.num_heads * self.key_dim))
        output = self.proj_drop(self.proj(side_by_side))
        return (output, weights) if return_attention_scores else output

    def compute_output_spec(
        self, tokens: Any, attn_mask: Any = None, return_attention_scores: bool = False
    ) -> Any:
        # Not traced: the batch that Keras traces with need not be one of whole images.
        batch, num_tokens, _ = tokens.shape
        num_windows = 1 if attn_mask is None else attn_mask.shape[0]
        images = batch // num_windows if batch and num_windows else None
        shape = (images, num_windows, self.num_heads, num_tokens, num_tokens)
        output = keras.KerasTensor(tokens.shape, self.compute_dtype)
        weights = keras.KerasTensor(shape, self.compute_dtype)
        return (output, weights) if return_attention_scores else output

    @property
    def scale(self) -> Any:
        """What multiplies the scores; it broadcasts to `(num_heads, 1)`."""
        return self.key_dim**-0.5

    def position_bias(self) -> Any:
        """What positions add to the scores; it broadcasts to `(1, num_heads, N, N)`."""
        return 0.0

    def additive_mask(self, attn_mask: Any, query: Any) -> Any:
        """What masks add to the scores, `(1 or num_windows, N, N)`, or `None`."""
        return None if attn_mask is None else to_additive(attn_mask, query)


class LocalitySelfAttention(SelfAttention):
    """Self-attention that looks away from itself, with a temperature it learns (LSA).

    In a sequence of similar tokens, a token's score with itself is the largest, and only a low
    temperature tells the others apart. LSA masks that score and learns the temperature.

    Args:
        num_heads: attention heads.
        key_dim: channels per head; by default the input's channels divided by the heads.
        diagonal_mask: whether a token is kept from attending to itself. One that `attn_mask` has
            left alone then attends to nothing: attending to what that mask forbids, as a softmax
            over masked scores would, or to itself, would break one mask or the other.
        learnable_temperature: whether the temperature is learnt.
        temperature_as: how the learnt number acts on the scores. `"multiplier"`, as in the paper's
            code: it multiplies them, and starts at `key_dim ** -0.5`. `"divisor"`, as in the Keras
            example: it divides them, and starts at `key_dim ** 0.5`. Both start as plain attention
            does, but an optimizer's step and weight decay mean different things to them.
        temperature_per: `"head"`, as in the paper's code, or `"layer"`, as in the Keras example:
            how many temperatures are learnt.
        **kwargs: `SelfAttention`'s other arguments.

    Call arguments and results are those of `SelfAttention`.

    Raises:
        ValueError: if `temperature_as` or `temperature_per` is something else.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), "Locality Self-Attention".
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        diagonal_mask: bool = True,
        learnable_temperature: bool = True,
        temperature_as: str = "multiplier",
        temperature_per: str = "head",
        **kwargs: Any,
    ):
        super().__init__(num_heads, key_dim=key_dim, **kwargs)
        self.diagonal_mask = diagonal_mask
        self.learnable_temperature = learnable_temperature
        self.temperature_as = to_choice(temperature_as, "temperature_as", ("multiplier", "divisor"))
        self.temperature_per = to_choice(temperature_per, "temperature_per", ("head", "layer"))

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        if self.learnable_temperature:
            power = -0.5 if self.temperature_as == "multiplier" else 0.5
            start = keras.initializers.Constant(self.key_dim**power)
            count = self.num_heads if self.temperature_per == "head" else 1
            self.temperature = self.add_weight((count, 1), start, name="temperature")

    @property
    def scale(self) -> Any:
        if not self.learnable_temperature:
            return super().scale
        multiplies = self.temperature_as == "multiplier"
        return self.temperature if multiplies else 1 / self.temperature

    def additive_mask(self, attn_mask: Any, query: Any) -> Any:
        mask = super().additive_mask(attn_mask, query)
        if not self.diagonal_mask:
            return mask
        diagonal = to_additive(get_diagonal_mask(query.shape[1]), query)
        return diagonal if mask is None else mask + diagonal


class WindowAttention(SelfAttention):
    """Multi-head self-attention within windows, with a relative position bias.

    Args:
        num_heads: attention heads.
        window_size: height `Mh` and width `Mw` of a window, in tokens; `N = Mh * Mw`.
        relative_position_bias_initializer: Keras initializer of the table of biases.
        **kwargs: `SelfAttention`'s other arguments.

    Call arguments and results are those of `SelfAttention`.

    Raises:
        ValueError: if `window_size` is not a valid size, or as `SelfAttention` says.

    Source: Liu et al. 2021 (Swin), section 3.2 and equation 4.
    """

    def __init__(
        self,
        num_heads: int,
        window_size: Size,
        relative_position_bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(num_heads, **kwargs)
        self.window_size = to_pair(window_size, "window_size")
        self.relative_position_bias_initializer = copy_initializer(
            relative_position_bias_initializer
        )
        self.relative_position_index = get_relative_position_index(self.window_size)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        height, width = self.window_size
        table_shape = ((2 * height - 1) * (2 * width - 1), self.num_heads)
        self.relative_position_bias_table = self.add_weight(
            table_shape,
            self.relative_position_bias_initializer,
            name="relative_position_bias_table",
        )
        self.input_spec = layers.InputSpec(shape=(None, height * width, input_shape[-1]))

    def position_bias(self) -> Any:
        # Along the last axis: taking rows has, on TensorFlow, a sparse gradient
        # that repeats rows, and Keras's Adam squares its entries one by one
        # instead of squaring their sum.
        table = ops.transpose(self.relative_position_bias_table)
        return ops.take(table, self.relative_position_index, axis=1)[None]


class LocalityWindowAttention(WindowAttention, LocalitySelfAttention):
    """Attention within windows, with a relative position bias and locality, as in SL-Swin.

    Arguments are those of `WindowAttention` and `LocalitySelfAttention`; call arguments and results
    those of `SelfAttention`. The masks are added after scale and position bias.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), and their Swin's code.
    """
