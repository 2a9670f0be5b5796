import keras
import numpy as np
from keras import ops

from smallvit.models.convnet import ConvNetConfig, convolutional_network
from smallvit.models.cost import count_macs

SMALL = ConvNetConfig(
    image_size=(8, 12), num_classes=5, embed_dim=3, depth=2, final_dim=4, final_depth=2
)


def convolve(x, kernel, stride):
    """A convolution with zero padding by its definition, one image `(height, width, channels)`."""
    size, _, _, channels = kernel.shape
    height, width = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    # What is missing at the edges, the odd pixel of it at the bottom and right.
    new, old = np.array((height, width)), np.array(x.shape[:2])
    missing = np.maximum((new - 1) * stride + size - old, 0)
    x = np.pad(x, [*((n // 2, n - n // 2) for n in missing), (0, 0)])
    y = np.zeros((height, width, channels))
    for i in range(height):
        for j in range(width):
            patch = x[i * stride : i * stride + size, j * stride : j * stride + size]
            y[i, j] = np.tensordot(patch, kernel, axes=3)
    return y


def test_the_network_is_its_definition(rng):
    model = convolutional_network(SMALL)
    for weight in model.weights:
        scale = rng.uniform(0.5, 1.5, weight.shape)
        weight.assign(scale if "variance" in weight.path or "gamma" in weight.path else scale - 1)
    value = {"/".join(w.path.split("/")[-2:]): ops.convert_to_numpy(w) for w in model.weights}

    def activate(x, name):
        mean, variance = value[f"{name}/moving_mean"], value[f"{name}/moving_variance"]
        x = (x - mean) / np.sqrt(variance + 1e-3) * value[f"{name}/gamma"] + value[f"{name}/beta"]
        return np.maximum(x, 0)

    image = rng.normal(size=(8, 12, 3))
    x = convolve(image, value["stem/kernel"], 2)
    for name, stride in (
        ("stage1_block1", 1),
        ("stage1_block2", 1),
        ("stage2_block1", 2),
        ("stage2_block2", 1),
    ):
        activated = activate(x, f"{name}_norm1")
        shortcut = x
        if stride == 2:
            shortcut = convolve(activated, value[f"{name}_shortcut/kernel"], stride)
        x = convolve(activated, value[f"{name}_conv1/kernel"], stride)
        x = shortcut + convolve(activate(x, f"{name}_norm2"), value[f"{name}_conv2/kernel"], 1)
    expected = activate(x, "norm").mean(axis=(0, 1)) @ value["head/kernel"] + value["head/bias"]
    got = model(image[None].astype("float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(got)[0], expected, rtol=1e-4, atol=1e-4)


def test_multiplications_are_those_of_its_convolutions_and_its_head():
    model = convolutional_network(SMALL)
    fine, coarse = 4 * 6, 2 * 3
    stem = fine * 9 * 3 * 3
    stage1 = 2 * 2 * fine * 9 * 3 * 3
    stage2 = coarse * (9 * 3 * 4 + 3 * 4 + 3 * 9 * 4 * 4)
    assert count_macs(model) == stem + stage1 + stage2 + 4 * 5


def test_it_learns(rng):
    keras.utils.set_random_seed(0)
    model = convolutional_network(SMALL)
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    images, labels = rng.normal(size=(8, 8, 12, 3)).astype("float32"), np.arange(8) % 5
    losses = model.fit(images, labels, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
