"""What the configurations of all models share: their first fields, and a check of every field."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral, Real
from typing import Annotated, Any, Literal, get_args, get_origin

from smallvit.layers.sizes import Size, to_count, to_pair


def _to_size(value: Any, name: str) -> Size:
    pair = to_pair(value, name)
    return pair[0] if isinstance(value, Integral) else pair


def _to_float(value: Any, name: str, fits: Callable[[float], bool], range_: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not fits(value):
        raise ValueError(f"{name} must be a number {range_}; got {value!r}.")
    return float(value)


def _to_tuple(values: Any, name: str, check: Callable, length: int | None = None) -> tuple:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{name} must be a tuple; got {values!r}.")
    if length is not None and len(values) != length:
        raise ValueError(f"{name} must have {length} elements; got {values!r}.")
    return tuple(check(value, f"Each of {name}") for value in values)


_to_natural = partial(to_count, minimum=0)
_to_rate = partial(_to_float, fits=lambda x: 0 <= x < 1, range_="of at least 0 and less than 1")

# A type and what turns a value into one of it, or refuses the value in one sentence.
Extent = Annotated[Size, _to_size]
Count = Annotated[int, to_count]
CountOrZero = Annotated[int, _to_natural]
Counts = Annotated[tuple[int, ...], partial(_to_tuple, check=to_count)]
CountsOrZeros = Annotated[tuple[int, ...], partial(_to_tuple, check=_to_natural)]
Positive = Annotated[float, partial(_to_float, fits=lambda x: 0 < x < 1e9, range_="above 0")]
Rate = Annotated[float, _to_rate]
Rates = Annotated[tuple[float, float], partial(_to_tuple, check=_to_rate, length=2)]


@dataclass(frozen=True)
class ModelConfig:
    """The fields that every model has, and a check of all fields.

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
            choices = (True, False) if field.type is bool else get_args(field.type)
            if kind is Annotated:
                _, convert = choices
                object.__setattr__(self, field.name, convert(value, field.name))
            elif (field.type is bool or kind is Literal) and not _is_one_of(value, choices):
                *others, last = map(repr, choices)
                allowed = f"{', '.join(others)} or {last}"
                raise ValueError(f"{field.name} must be {allowed}; got {value!r}.")


def _is_one_of(value: Any, choices: tuple) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in choices)
