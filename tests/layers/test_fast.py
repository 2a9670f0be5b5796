import keras
import numpy as np
import pytest
import reference
from keras import ops

from smallvit.layers.fast import Dropout, draw_bits, fuse, gelu

uses_our_bits = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch's own dropout is used there"
)


def drop_ones(layer, *shape):
    return ops.convert_to_numpy(layer(ops.ones(shape), training=True))


def draw(shape, generator):
    return ops.convert_to_numpy(draw_bits(shape, generator.next()))


@pytest.mark.parametrize("rate", [0.03, 0.1, 0.5])
def test_it_drops_at_its_rate_and_keeps_the_mean(rate):
    dropped = drop_ones(Dropout(rate, seed=0), 400, 50, 51)
    assert dropped.size > 1e6
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / (1 - rate)], rtol=1e-6)
    deviation = (rate * (1 - rate) / dropped.size) ** 0.5
    assert abs((dropped == 0).mean() - rate) < 4 * deviation


def test_at_inference_or_with_rate_0_nothing_happens():
    x = ops.ones((2, 3))
    assert Dropout(0.5)(x) is x
    assert Dropout(0.0)(x, training=True) is x


def test_a_noise_shape_is_kept_to():
    dropped = drop_ones(Dropout(0.5, noise_shape=(None, 1, 6), seed=0), 20, 7, 6)
    assert (dropped == dropped[:, :1]).all()
    assert 0 < (dropped == 0).mean() < 1


def test_all_of_it_can_be_dropped_or_almost_nothing():
    assert (drop_ones(Dropout(1.0, seed=0), 64, 64) == 0).all()
    assert 0 < (drop_ones(Dropout(2e-5, seed=0), 1000, 1024) == 0).sum() < 60


@uses_our_bits
@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_every_byte_is_as_likely_as_any_other(shift):
    bits = draw((1 << 10, 1 << 10), keras.random.SeedGenerator(0))
    counts = np.bincount((bits.ravel() >> shift) & 255, minlength=256)
    chi_squared = ((counts - bits.size / 256) ** 2 / (bits.size / 256)).sum()
    assert 160 < chi_squared < 365  # 255 degrees of freedom: four deviations of 22.6


@uses_our_bits
def test_no_two_are_correlated():
    # Columns are neighbours; a layer draws from one stream, and layers from streams with seeds
    # that may be neighbours, too.
    generator = keras.random.SeedGenerator(0)
    draws = [draw((1 << 16, 8), generator) for _ in range(2)]
    draws += [draw((1 << 16, 8), keras.random.SeedGenerator(seed)) for seed in (1, 12_345)]
    columns = np.concatenate(draws, axis=1).T
    limit = 5.5 / (1 << 16) ** 0.5
    for seen in (columns, columns < 0.03 * 2**32, columns % 2):
        assert np.abs(np.corrcoef(seen) - np.eye(len(seen))).max() < limit
        for lag in (1, 2, 64):  # along the rows, too
            lagged = np.corrcoef(seen[:, lag:], np.roll(seen, lag, axis=1)[:, lag:])
            assert np.abs(lagged[: len(seen), len(seen) :]).max() < limit


@uses_our_bits
def test_no_two_of_many_masks_are_correlated():
    generator = keras.random.SeedGenerator(0)
    masks = np.array([draw((1 << 14,), generator) < 0.1 * 2**32 for _ in range(300)])
    correlations = np.corrcoef(masks)[np.triu_indices(300, k=1)] * (1 << 14) ** 0.5
    assert np.abs(correlations).max() < 6
    assert correlations.std() == pytest.approx(1, abs=0.02)


@uses_our_bits
def test_one_bit_of_the_seed_or_the_place_changes_half_of_the_bits():
    places = draw_bits((1 << 16,), np.array([5, 9]))
    for first, second in [(4, 9), (5, 8), (5 ^ 1 << 31, 9), (5, 9 ^ 1 << 31)]:
        other = draw_bits((1 << 16,), np.array([first, second], "uint32"))
        changed = np.bitwise_count(np.bitwise_xor(places, other)).mean()
        assert 15.9 < changed < 16.1
    assert 15.9 < np.bitwise_count(np.bitwise_xor(places[::2], places[1::2])).mean() < 16.1


@uses_our_bits
def test_another_seed_is_no_rearrangement_of_the_same_bits():
    # Were places and seed only added up, each draw would hold the numbers of another, moved.
    one, other = (np.asarray(draw_bits((1 << 20,), np.array([0, n], "uint32"))) for n in (1, 2))
    expected = len(one) ** 2 / 2**32  # pairs that are equal by chance
    assert len(np.intersect1d(one, other)) < expected + 6 * expected**0.5


@uses_our_bits
def test_a_samples_bits_do_not_depend_on_how_many_samples_there_are():
    few, more = (np.asarray(draw_bits((n, 5, 3), np.array([7, 8]))) for n in (2, 6))
    np.testing.assert_array_equal(few, more[:2])
    assert len(np.unique(more)) == more.size


def test_the_same_seed_drops_the_same_and_the_next_call_something_else():
    layer, same = Dropout(0.5, seed=3), Dropout(0.5, seed=3)
    first = drop_ones(layer, 8, 32)
    np.testing.assert_array_equal(first, drop_ones(same, 8, 32))
    assert (first != drop_ones(layer, 8, 32)).any()


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float32"])
def test_gradients_pass_where_numbers_do_in_any_precision(rng, dtype):
    layer = Dropout(0.25, dtype=dtype)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(layer(inputs)))
    model.compile("sgd", "mse")
    loss = model.fit(rng.random((6, 6)), rng.random((6, 1)), batch_size=4, verbose=0)
    assert np.isfinite(loss.history["loss"]).all()  # a batch of 4, then one of 2
    assert ops.dtype(layer(ops.ones((2, 3)), training=True)) == layer.compute_dtype


def test_a_gradient_passes_where_a_number_did(rng):
    # The loss is the sum of dropout(x + b), so one step downhill shows its gradient in b.
    shift = keras.layers.EinsumDense("bn,n->bn", 64, bias_axes="n", kernel_initializer="ones")
    model = keras.Sequential([keras.Input((64,)), shift, Dropout(0.25, seed=4)])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: ops.sum(y))
    ones = np.ones((1, 64), "float32")
    model.train_on_batch(ones, ones)
    kept = drop_ones(Dropout(0.25, seed=4), 1, 64)[0]
    np.testing.assert_allclose(-ops.convert_to_numpy(shift.bias), kept, atol=1e-6)
    assert 0 < (kept == 0).mean() < 1


def test_a_saved_layer_loads(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Dropout(0.3, seed=5)])
    model.save(tmp_path / "dropout.keras")
    assert keras.models.load_model(tmp_path / "dropout.keras").layers[0].rate == 0.3


class Gelu(keras.layers.Layer):
    def call(self, x):
        return gelu(x)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_gelu_and_its_gradient_against_numpy(dtype):
    # The loss is the sum of gelu(x + b), so one step downhill shows its gradient in b.
    x = np.linspace(-6, 6, 49, dtype="float32")[None]
    tolerance = {"float32": 1e-6, "mixed_bfloat16": 0.03}[dtype]
    shift = keras.layers.EinsumDense("bn,n->bn", 49, bias_axes="n", kernel_initializer="ones")
    model = keras.Sequential([keras.Input((49,)), shift, Gelu(dtype=dtype)])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: ops.sum(ops.cast(y, "float32")))
    np.testing.assert_allclose(model.predict(x, verbose=0), reference.gelu(x), atol=tolerance)
    model.train_on_batch(x, x)
    gradient = -ops.convert_to_numpy(shift.bias)
    cdf = reference.gelu(x) / np.where(x, x, 1) + (x == 0) / 2
    density = np.exp(-(x**2) / 2) / (2 * np.pi) ** 0.5
    np.testing.assert_allclose(gradient, (cdf + x * density)[0], atol=tolerance)


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


@pytest.mark.parametrize("rate", [np.float32(0.25), np.linspace(0, 0.5, 3)[1]])
def test_numpys_rates_are_rates(rate):
    dropped = drop_ones(Dropout(rate, seed=0), 64, 64)
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.75], rtol=1e-6)
