"""What the configurations of models share: fields, and a check of all but the initializers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np

from smallvit.layers.sizes import Size, to_choice, to_count, to_pair, to_positive, to_rate


def _to_size(value: Any, name: str) -> Size:
    pair = to_pair(value, name)
    return pair[0] if isinstance(value, Integral) else pair


def _to_tuple(values: Any, name: str, check: Callable, length: int | None = None) -> tuple:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{name} must be a tuple; got {values!r}.")
    if length is not None and len(values) != length:
        raise ValueError(f"{name} must have {length} elements; got {values!r}.")
    return tuple(check(value, f"Each of {name}") for value in values)


_to_natural = partial(to_count, minimum=0)

# A type and what turns a value into one of it, or refuses the value in one sentence.
Extent = Annotated[Size, _to_size]
Count = Annotated[int, to_count]
CountOrZero = Annotated[int, _to_natural]
Counts = Annotated[tuple[int, ...], partial(_to_tuple, check=to_count)]
CountsOrZeros = Annotated[tuple[int, ...], partial(_to_tuple, check=_to_natural)]
Positive = Annotated[float, to_positive]
Rate = Annotated[float, to_rate]
Rates = Annotated[tuple[float, float], partial(_to_tuple, check=to_rate, length=2)]


@dataclass(frozen=True)
class ModelConfig:
    """The fields that every model has, and a check of all that have a type.

    Args:
        image_size: height and width of an image, in pixels.
        channels: channels of an image.
        num_classes: outputs of the head; 0 for a model without a head, which returns features.

    Raises:
        ValueError: if a field does not have the type, or one of the values, of its annotation.
    """

    image_size: Extent = 32
    channels: Count = 3
    num_classes: CountOrZero = 100

    def __post_init__(self):
        for field in fields(self):
            value, kind = getattr(self, field.name), get_origin(field.type)
            if kind is Annotated:
                _, convert = get_args(field.type)
                object.__setattr__(self, field.name, convert(value, field.name))
            elif field.type is bool or kind is Literal:
                to_choice(value, field.name, get_args(field.type) or (True, False))


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """The fields that transformers have in common, besides those of `ModelConfig`.

    Args:
        patch_size: height and width of a patch, in pixels.
        embed_dim: channels of a token; in a Swin those of the first stage, and each merging
            doubles them.
        mlp_ratio: hidden channels of an MLP, in multiples of its channels.
        qkv_bias: whether the maps to queries, keys and values have a bias.
        shifted_patches: whether shifted patch tokenization replaces patch embedding, and a Swin's
            mergings.
        locality: whether attention masks the diagonal and learns its temperature.
        attn_drop_rate: dropout rate of the attention weights.
        hidden_drop_rate: dropout rate within the MLPs.
        drop_path_rates: rates at which the first and the last block drop a whole branch, sample by
            sample; those between are equally spaced.
        kernel_initializer: Keras initializer of all kernels without one of their own.
        bias_initializer: of all biases.
        position_initializer: of the position embedding.
    """

    patch_size: Extent = 4
    embed_dim: Count = 192
    mlp_ratio: Positive = 2.0
    qkv_bias: bool = False
    shifted_patches: bool = False
    locality: bool = False
    attn_drop_rate: Rate = 0.0
    hidden_drop_rate: Rate = 0.0
    drop_path_rates: Rates = (0.1, 0.1)
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    position_initializer: Any = "uniform"

    def initializers(self) -> dict:
        """The arguments that start a layer's dense layers."""
        return {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }

    def block_arguments(self, count: int) -> Iterator[dict]:
        """What these fields decide of the arguments of `count` blocks, one after another."""
        for drop_path_rate in np.linspace(*self.drop_path_rates, count).tolist():
            yield {
                "mlp_ratio": self.mlp_ratio,
                "qkv_bias": self.qkv_bias,
                "attn_drop": self.attn_drop_rate,
                "hidden_drop": self.hidden_drop_rate,
                "drop_path": drop_path_rate,
                "locality": self.locality,
                **self.initializers(),
            }
