import keras
import numpy as np
import pytest
from keras import ops

from smallvit.layers.fusion import fuse


def smooth(x, power):
    return ops.tanh(x) ** power + 0.5 * x


fused = fuse(smooth)


@pytest.mark.parametrize("shape", [(2, 3), (5, 3), (5, 7)])
@pytest.mark.parametrize("power", [2, 3])
def test_a_fused_function_does_the_same(rng, shape, power):
    x = rng.standard_normal(shape).astype("float32")
    expected = np.tanh(x) ** power + 0.5 * x
    found = ops.convert_to_numpy(fused(ops.convert_to_tensor(x), power))
    np.testing.assert_allclose(found, expected, atol=1e-6)


class Smooth(keras.layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x, 3)


@pytest.mark.parametrize("jit_compile", [False, "auto"])
def test_it_trains_as_the_function_would_whatever_the_batch(rng, jit_compile):
    x, y = rng.standard_normal((10, 4)), rng.standard_normal((10, 2))
    weights = []
    for function in (smooth, fused):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(6), Smooth(function), keras.layers.Dense(2)]
        )
        model.compile("sgd", "mse", jit_compile=jit_compile)
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)  # 4, 4 and 2 samples
        weights.append(model.get_weights())
    for expected, found in zip(*weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is told to")
def test_elsewhere_the_function_is_left_alone():
    assert fused is smooth


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow is told to")
def test_on_tensorflow_it_is_one_compiled_call(rng):
    lines = fused.experimental_get_compiler_ir(ops.ones((2, 3)), 3)(stage="optimized_hlo")
    entry = lines[lines.index("ENTRY") :]
    assert entry.count("fusion(") == 1
    assert "tanh(" not in entry
