"""The linear maps in every other layer, and how they start."""

from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable(package="smallvit")
class Dense(layers.Dense):
    """`keras.layers.Dense` whose bias initializer may depend on the kernel's fan-in.

    Keras shows a bias initializer nothing but the bias, whose fan-in says nothing. Here one that
    scales with a fan (`VarianceScaling` and its kin) draws the bias as it would one row of the
    kernel. `VarianceScaling(1 / 3, "fan_in", "uniform")` for kernel and bias is then the default
    start of `torch.nn.Linear`: both uniform between -1 and 1 times `fan_in ** -0.5`.

    Args:
        units: output channels.
        kernel_initializer: Keras initializer of the kernel; copied, so that layers that share an
            initializer do not share their values.
        bias_initializer: Keras initializer of the bias; likewise copied.
        **kwargs: the other arguments of `keras.layers.Dense`.

    Input `(..., channels)`; output `(..., units)`.
    """

    def __init__(
        self,
        units: int,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(
            units,
            kernel_initializer=copy_initializer(kernel_initializer),
            bias_initializer=copy_initializer(bias_initializer),
            **kwargs,
        )

    def build(self, input_shape: tuple) -> None:
        initializer = self.bias_initializer
        if isinstance(initializer, keras.initializers.VarianceScaling):
            kernel_shape = (input_shape[-1], self.units)
            self.bias_initializer = lambda _, dtype=None: initializer(kernel_shape, dtype)[0]
        super().build(input_shape)
        self.bias_initializer = initializer


def copy_initializer(initializer: Any) -> Any:
    """Turn whatever Keras takes for an initializer into one that draws values of its own."""
    initializer = keras.initializers.get(initializer)
    return initializer.clone() if isinstance(initializer, keras.Initializer) else initializer


class Composite(layers.Layer):
    """A layer made of dense layers, which all start as its initializers say.

    Args:
        kernel_initializer: Keras initializer of all kernels.
        bias_initializer: Keras initializer of all biases; see `Dense`.
        **kwargs: the arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    @property
    def for_parts(self) -> dict:
        """The arguments that a layer hands on to those it is made of."""
        return {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "dtype": self.dtype_policy,
        }

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
