"""What all layers of this package share: checked input, and configs that write themselves."""

import inspect
from typing import Any

import keras
import numpy as np
from keras import layers

from smallvit.layers.sizes import check_shape


class Layer(layers.Layer):
    """A Keras layer whose config holds the arguments that it was given.

    `axes`, a name for each axis of the input, is checked when the layer is built; after that, the
    channels stay as they are. The output has the shape of the input, unless a subclass says
    otherwise. Arguments are those of `keras.layers.Layer`.
    """

    axes = "batch, ..., channels"

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        package = cls.__module__.split(".")[0]
        keras.saving.register_keras_serializable(package)(cls)  # saved models find it by name

    def __new__(cls, *args: Any, **kwargs: Any) -> "Layer":
        layer = super().__new__(cls, *args, **kwargs)
        vars(layer)["arguments"] = _by_name(cls, args) | kwargs
        return layer

    def build(self, input_shape: tuple) -> None:
        check_shape(input_shape, self.axes)
        self.input_spec = layers.InputSpec(ndim=len(input_shape), axes={-1: input_shape[-1]})

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        # Traced, as Keras does for layers without `compute_output_shape`: with attention scores
        # there are two outputs.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def get_config(self) -> dict:
        return {**keras.tree.map_structure(_serialize, self.arguments), **super().get_config()}


def copy_initializer(initializer: Any) -> Any:
    """Turn whatever Keras takes for an initializer into one that draws values of its own."""
    initializer = keras.initializers.get(initializer)
    return initializer.clone() if isinstance(initializer, keras.Initializer) else initializer


def _by_name(cls: type, args: tuple) -> dict:
    """Arguments given by position, under the names that the nearest class has for them."""
    for base in cls.__mro__:
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        if "__init__" in vars(base) and all(p.kind != p.VAR_POSITIONAL for p in parameters):
            return dict(zip((p.name for p in parameters), args, strict=False))
    return {}


def _serialize(argument: Any) -> Any:
    """An argument as a config holds it: activations are functions, initializers objects."""
    if isinstance(argument, np.ndarray | np.generic):
        return argument.tolist()
    if inspect.isfunction(argument):
        name = keras.activations.serialize(argument)
        if keras.activations.get(name) is not argument:
            raise ValueError(
                f"{argument.__module__}.{argument.__name__} would be loaded as another function, "
                f"keras.activations.{argument.__name__}; give that one, or register yours."
            )
        return name
    return keras.saving.serialize_keras_object(argument) if callable(argument) else argument
