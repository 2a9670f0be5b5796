"""The linear maps that other layers are made of, and how they start."""

from typing import Any

import keras
from keras import layers

from smallvit.layers.base import Layer, copy_initializer


@keras.saving.register_keras_serializable(package="smallvit")
class Dense(layers.Dense):
    """`keras.layers.Dense` whose bias initializer may depend on the kernel's fan-in.

    Keras passes a bias initializer the bias's own shape, which says nothing about the fan-in. Here
    one that scales with a fan (`VarianceScaling` and its kin) draws the bias as one row of a
    kernel. `VarianceScaling(1 / 3, "fan_in", "uniform")` for kernel and bias is then the default
    of `torch.nn.Linear`: both are uniform between -1 and 1 times `fan_in ** -0.5`. Arguments are
    Keras's; initializers are copied, so that layers that share one without a seed do not share
    values.
    """

    def __init__(
        self,
        units: int,
        *,
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


class Composite(Layer):
    """A layer made of other layers, all of whose dense layers start as its initializers say.

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
        self.for_parts = {
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            "dtype": self.dtype_policy,
        }

    def dense(
        self, units: int, name: str, kernel_initializer: Any = None, use_bias: bool = True
    ) -> Dense:
        """A dense layer that starts as this layer says, or with an initializer of its own."""
        own = {} if kernel_initializer is None else {"kernel_initializer": kernel_initializer}
        return Dense(units, use_bias=use_bias, name=name, **{**self.for_parts, **own})

    def layer_norm(self, name: str, epsilon: float = 1e-5) -> layers.LayerNormalization:
        """A LayerNormalization of the layer's own dtype."""
        return layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name=name)
