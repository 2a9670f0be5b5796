"""Every public layer in the hands of somebody who knows Keras, and not this package."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import smallvit
from smallvit.layers.attention import (
    LocalitySelfAttention,
    LocalityWindowAttention,
    SelfAttention,
    WindowAttention,
)
from smallvit.layers.blocks import DropPath, Mlp, SwinTransformerBlock, TransformerBlock
from smallvit.layers.dense import Dense
from smallvit.layers.fast import Dropout
from smallvit.layers.patches import PatchEmbed, PatchMerging, ShiftedPatchTokenization
from smallvit.layers.tokens import ClassToken, PositionEmbedding

NORMAL = keras.initializers.RandomNormal(stddev=0.1)
GRID, WINDOW, SEQUENCE = (4, 6, 4), (6, 4), (7, 4)  # four channels

# What makes each layer, the shape of one sample, and the shape it becomes.
LAYERS = {
    "ClassToken": (lambda: ClassToken(), SEQUENCE, (8, 4)),
    "Dense": (lambda: Dense(5, bias_initializer=NORMAL), SEQUENCE, (7, 5)),
    "DropPath": (lambda: DropPath(0.2), GRID, GRID),
    "Dropout": (lambda: Dropout(0.2), SEQUENCE, SEQUENCE),
    "LocalitySelfAttention": (lambda: LocalitySelfAttention(2), SEQUENCE, SEQUENCE),
    "LocalityWindowAttention": (lambda: LocalityWindowAttention(2, (2, 3)), WINDOW, WINDOW),
    "Mlp": (lambda: Mlp(9, 0.1), SEQUENCE, SEQUENCE),
    "PatchEmbed": (
        lambda: PatchEmbed((2, 3), 8, norm=True, input_norm=True, kernel_initializer=NORMAL),
        *(GRID, (2, 2, 8)),
    ),
    "PatchMerging": (lambda: PatchMerging(8), (5, 7, 4), (3, 4, 8)),
    "PositionEmbedding": (lambda: PositionEmbedding(NORMAL), GRID, GRID),
    "SelfAttention": (lambda: SelfAttention(2, 3, kernel_initializer="he_normal"), *2 * [SEQUENCE]),
    "ShiftedPatchTokenization": (lambda: ShiftedPatchTokenization((2, 4), 8), GRID, (2, 2, 8)),
    "SwinTransformerBlock": (
        lambda: SwinTransformerBlock(
            *(2, (2, np.int64(3)), (1, 1)), locality=True, relative_position_bias_initializer=NORMAL
        ),
        *(GRID, GRID),
    ),
    "TransformerBlock": (
        lambda: TransformerBlock(
            2, np.int64(3), drop_path=0.1, out_activation=keras.activations.gelu
        ),
        *(SEQUENCE, SEQUENCE),
    ),
    "WindowAttention": (lambda: WindowAttention(2, np.array([2, 3])), WINDOW, WINDOW),
}


def test_no_public_layer_is_missing():
    public = [getattr(smallvit, name) for name in smallvit.__all__]
    public = {c.__name__ for c in public if isinstance(c, type) and issubclass(c, layers.Layer)}
    assert public <= LAYERS.keys()


@pytest.fixture(params=LAYERS)
def case(request):
    make, shape, out = LAYERS[request.param]
    return make(), shape, out


def sample(rng, shape, batch=2):
    return rng.normal(size=(batch, *shape)).astype("float32")


def test_it_says_which_shape_it_gives(case):
    layer, shape, out = case
    assert layer.compute_output_shape((None, *shape)) == (None, *out)
    inputs = keras.Input(shape)
    output = layer(inputs)
    assert tuple(output.shape) == (None, *out)
    assert layer.output is output


def test_all_train_in_one_model(rng):
    inputs = {name: keras.Input(shape, name=name) for name, (_, shape, _) in LAYERS.items()}
    branches = [
        layers.Dense(1)(layers.Flatten()(make()(inputs[name])))
        for name, (make, _, _) in LAYERS.items()
    ]
    model = keras.Model(inputs, layers.add(branches))
    model.compile("sgd", "mse")
    x = {name: sample(rng, shape, 4) for name, (_, shape, _) in LAYERS.items()}
    assert np.isfinite(model.train_on_batch(x, np.ones((4, 1))))
    assert model.predict(x, verbose=0).shape == (4, 1)
    model.summary(print_fn=lambda line: None)


def test_it_repeats_over_time(case, rng):
    layer, shape, out = case
    x = sample(rng, (3, *shape))
    model = keras.Sequential([keras.Input((3, *shape)), layers.TimeDistributed(layer)])
    assert model.output_shape == (None, 3, *out)
    expected = [ops.convert_to_numpy(layer(x[:, t])) for t in range(3)]
    found = ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-5)


def test_a_clone_starts_from_the_same_distribution(case):
    layer, shape, _ = case
    model = keras.Sequential([keras.Input(shape), layer])
    clone = keras.models.clone_model(model)
    assert clone.layers[0].get_config() == layer.get_config()
    for ours, theirs in zip(model.trainable_weights, clone.trainable_weights, strict=True):
        ours, theirs = ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs)
        if ours.size > 40:
            assert theirs.std() == pytest.approx(ours.std(), rel=0.5)
            assert not ours.std() or (ours != theirs).any()


LOAD = """
import sys
import smallvit
import keras
import numpy as np
for name in sys.argv[2:]:
    model = keras.saving.load_model(f"{sys.argv[1]}/{name}.keras")
    file = np.load(f"{sys.argv[1]}/{name}.npz")
    found = keras.ops.convert_to_numpy(model(file["x"]))
    np.testing.assert_allclose(found, file["y"], atol=1e-5)
print("loaded", len(sys.argv) - 2)
"""


def test_all_load_in_a_fresh_process_that_has_only_imported_smallvit(rng, tmp_path):
    for name, (make, shape, _) in LAYERS.items():
        model = keras.Sequential([keras.Input(shape), make()])
        for weight in model.trainable_weights:
            weight.assign(rng.normal(size=weight.shape))
        model.save(tmp_path / f"{name}.keras")
        x = sample(rng, shape)
        np.savez(tmp_path / f"{name}.npz", x=x, y=ops.convert_to_numpy(model(x)))
    run = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), *LAYERS],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == f"loaded {len(LAYERS)}\n", run.stderr


@pytest.mark.parametrize("first", ["smallvit.layers.attention", "smallvit.models.swin"])
def test_any_module_may_be_imported_first(first):
    check = f"import smallvit, {first}, keras; print('smallvit>Mlp' in dir_())"
    check = check.replace("dir_()", "keras.saving.get_custom_objects()")
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert run.stdout == "True\n", run.stderr


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"Dropout"}))
@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_integers_and_booleans_count_as_the_floats_they_are(rng, name, dtype):
    make, shape, _ = LAYERS[name]
    layer = make()
    x = rng.integers(0, 2 if dtype == "bool" else 256, (2, *shape)).astype(dtype)
    expected = ops.convert_to_numpy(layer(x.astype("float32")))
    found = ops.convert_to_numpy(layer(x))
    assert found.dtype == expected.dtype == "float32"
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"Dense", "Dropout", "DropPath", "Mlp"}))
def test_another_rank_or_an_unknown_size_gets_one_sentence(name):
    make, shape, _ = LAYERS[name]
    if name != "PositionEmbedding":  # any rank will do
        with pytest.raises(ValueError, match=r"^The input must be \(batch, .*; got shape \(2, 4\)"):
            make().build((2, 4))
    unknown = (None, *[None] * (len(shape) - 1), shape[-1])
    with pytest.raises(ValueError, match="all but the first of known size; got shape"):
        make()(keras.Input(unknown[1:]))


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (SwinTransformerBlock(2, 4, 2), (16, 16, 4)),
        (PositionEmbedding(), (1, 1, 4)),
        (PositionEmbedding(), (8, 4)),
        (PatchMerging(8), (8, 8, 3)),
        (ShiftedPatchTokenization(2, 8), (8, 8, 3)),
        (PatchEmbed(2, 8), (8, 8, 3)),
    ],
)
def test_built_for_one_shape_and_called_on_another_it_raises(layer, other):
    layer(np.zeros((1, 8, 8, 4), "float32"))
    with pytest.raises(ValueError, match=r"Input 0 .*of layer .* is incompatible"):
        layer(np.zeros((1, *other), "float32"))


def test_a_loaded_block_still_refuses_another_grid(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 4)), SwinTransformerBlock(2, 4, 2)])
    model.save(tmp_path / "block.keras")
    block = keras.models.load_model(tmp_path / "block.keras").layers[0]
    for grid in ((16, 16), (4, 16)):
        with pytest.raises(ValueError, match=r"expected shape=\(None, 8, 8, 4\)"):
            block(np.zeros((1, *grid, 4), "float32"))


def test_a_window_attention_refuses_another_window():
    layer = WindowAttention(2, (2, 2))
    layer(np.zeros((3, 4, 4), "float32"))
    with pytest.raises(ValueError, match=r"expected shape=\(None, 4, 4\)"):
        layer(np.zeros((3, 1, 4), "float32"))


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def test_layers_compute_channels_last_whatever_keras_is_set_to(rng, case, channels_first):
    layer, shape, out = case
    x = sample(rng, shape)
    found = ops.convert_to_numpy(layer(x))
    assert found.shape == (2, *out)
    keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(found, ops.convert_to_numpy(layer(x)))


def test_an_activation_that_would_be_loaded_as_another_is_not_saved():
    """`keras.ops.gelu` approximates, and a config knows it by the name of the one that does not."""
    with pytest.raises(ValueError, match="would be loaded as another function"):
        Mlp(4, out_activation=keras.ops.gelu).get_config()
    assert Mlp(4, out_activation=keras.activations.gelu).get_config()["out_activation"] == "gelu"


def test_a_subclass_may_pass_all_arguments_on():
    class Wider(SelfAttention):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    layer = Wider(4, 2, qkv_bias=False)
    assert layer.arguments == {"num_heads": 4, "key_dim": 2, "qkv_bias": False}
    assert Wider.from_config(layer.get_config()).num_heads == 4


def test_a_subclass_elsewhere_takes_no_name_of_ours():
    ours = keras.saving.get_registered_object("smallvit>Mlp")
    theirs = type("Mlp", (Mlp,), {"__module__": "theirs.layers"})
    assert ours is Mlp
    assert keras.saving.get_registered_object("smallvit>Mlp") is Mlp
    assert keras.saving.get_registered_name(theirs) == "theirs>Mlp"
