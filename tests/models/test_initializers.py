"""How models start, weight by weight, against what their sources say."""

from dataclasses import replace
from math import sqrt
from statistics import NormalDist

import keras
import numpy as np
import pytest
from keras import ops

from smallvit.models.swin import (
    SL_SWIN_PAPER,
    SWIN_KERAS,
    SWIN_PAPER,
    SwinConfig,
    swin_transformer,
)
from smallvit.models.vit import (
    SL_VIT_KERAS,
    SL_VIT_PAPER,
    VIT_KERAS,
    VIT_PAPER,
    vision_transformer,
)


class Constant:
    def __init__(self, value):
        self.value = value

    def fits(self, values):
        return np.allclose(values, self.value, rtol=1e-6, atol=0)


class Distribution:
    """One about 0, with a standard deviation `std` and a function `quantile`."""

    def fits(self, values):
        """Whether a sample's spread and shape are those, within what chance allows."""
        values = np.sort(values.ravel())
        shares = np.linspace(0.01, 0.99, 99)
        expected = [self.quantile(share) for share in shares]
        distance = np.abs(np.searchsorted(values, expected) / values.size - shares).max()
        spread = sqrt((values**2).mean()) / self.std
        return distance < 2.2 / sqrt(values.size) and abs(spread - 1) < 5 / sqrt(2 * values.size)


class Normal(Distribution):
    """Not truncated."""

    def __init__(self, std):
        self.std, self.quantile = std, NormalDist(0, std).inv_cdf


class Uniform(Distribution):
    def __init__(self, limit):
        self.limit, self.std = limit, limit / sqrt(3)

    def quantile(self, share):
        return self.limit * (2 * share - 1)

    def fits(self, values):
        return np.abs(values).max() <= self.limit * (1 + 1e-6) and super().fits(values)


def swin_of_the_paper(path, fan_in, fan_out):
    """The official code leaves linear layers, biases included, as torch starts them."""
    if path.endswith(("position", "bias_table")):
        return Normal(0.02)
    return Uniform(fan_in**-0.5)


def vit_of_the_paper(path, fan_in, fan_out):
    """The official code: Xavier normal for kernels, and positions and class token N(0, 1)."""
    if path.endswith(("position", "token")):
        return Normal(1)
    return Constant(0) if path.endswith("bias") else Normal(sqrt(2 / (fan_in + fan_out)))


def keras_defaults(path, fan_in, fan_out):
    """What the examples leave to Keras: Glorot uniform kernels, embeddings of +-0.05."""
    if path.endswith("position"):
        return Uniform(0.05)
    if path.endswith(("bias", "bias_table")):
        return Constant(0)
    return Uniform(sqrt(6 / (fan_in + fan_out)))


def vit_of_the_example(path, fan_in, fan_out):
    """Keras 2 took the three axes of `MultiHeadAttention`'s kernels for a convolution's."""
    if path.endswith("qkv/kernel"):  # three kernels (64 channels, 4 heads, 64 per head)
        return Uniform(sqrt(6 / (64 * 4 + 64 * 64)))
    if path.endswith("attn/proj/kernel"):  # (4 heads, 64 per head, 64 channels)
        return Uniform(sqrt(6 / (4 * 64 + 4 * 64)))
    return keras_defaults(path, fan_in, fan_out)


def misfits(model, rule, temperature=None):
    """Paths of the trainable weights that do not start as they should; nothing but a list."""
    weights = {w.path: ops.convert_to_numpy(w) for w in model.trainable_weights}
    wrong = []
    for path, values in weights.items():
        owner, _, kind = path.rpartition("/")
        if kind in ("gamma", "beta", "temperature"):
            expected = Constant({"gamma": 1, "beta": 0, "temperature": temperature}[kind])
        else:
            fans = weights.get(f"{owner}/kernel", values).shape[-2:]
            expected = rule(path, *fans)
        if not expected.fits(values):
            wrong.append(path)
    return wrong


@pytest.mark.parametrize("fits", [True, False])
def test_the_check_knows_distributions_apart(rng, fits):
    normal, uniform = rng.normal(0, 0.5, (300, 300)), rng.uniform(-0.5, 0.5, (300, 300))
    truncated = normal[np.abs(normal) < 1] * 0.5 / normal[np.abs(normal) < 1].std()
    if fits:
        assert Normal(0.5).fits(normal) and Uniform(0.5).fits(uniform)
        return
    assert not Normal(0.5).fits(truncated)
    assert not Normal(0.51).fits(normal)
    assert not Uniform(0.51).fits(uniform)
    assert not Normal(0.5 / sqrt(3)).fits(uniform)
    assert not Uniform(0.5).fits(np.append(uniform, 0.501))


def build(config):
    make = swin_transformer if isinstance(config, SwinConfig) else vision_transformer
    return make(config)


PUBLISHED = {
    "swin-paper": (SWIN_PAPER, swin_of_the_paper, None),
    "sl-swin-paper": (SL_SWIN_PAPER, swin_of_the_paper, 32**-0.5),
    "vit-paper": (VIT_PAPER, vit_of_the_paper, None),
    "sl-vit-paper": (SL_VIT_PAPER, vit_of_the_paper, 16**-0.5),
    "swin-keras": (SWIN_KERAS, keras_defaults, None),
    "vit-keras": (VIT_KERAS, vit_of_the_example, None),
    "sl-vit-keras": (SL_VIT_KERAS, vit_of_the_example, 64**0.5),  # tau, which divides
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_weight_of_a_published_model_starts_as_in_its_source(name):
    config, rule, temperature = PUBLISHED[name]
    assert misfits(build(config), rule, temperature) == []


VARIANTS = {
    "swin without positions": (replace(SWIN_PAPER, position_embedding=False), swin_of_the_paper),
    "swin with shifted patches": (replace(SWIN_PAPER, shifted_patches=True), swin_of_the_paper),
    "vit without class token": (replace(VIT_PAPER, pool="mean"), vit_of_the_paper),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_builds_and_starts_as_its_model_does(name):
    config, rule = VARIANTS[name]
    smaller = {"depths": (1, 1), "num_heads": (3, 6)} if "swin" in name else {"depth": 2}
    assert misfits(build(replace(config, **smaller)), rule) == []


@pytest.mark.parametrize("name", ["swin-paper", "sl-vit-paper", "sl-vit-keras"])
def test_a_clone_starts_anew_from_the_same_distributions(name):
    config, rule, temperature = PUBLISHED[name]
    smaller = {"depths": (1, 1), "num_heads": (3, 6)} if "swin" in name else {"depth": 2}
    model = build(replace(config, **smaller))
    clone = keras.models.clone_model(model)
    assert misfits(clone, rule, temperature) == []
    assert_all_differ([*drawn(model), *drawn(clone)])


def drawn(model):
    weights = [ops.convert_to_numpy(w).ravel()[:3] for w in model.trainable_weights]
    return [tuple(values) for values in weights if values.std()]


def assert_all_differ(samples):
    assert len(set(samples)) == len(samples)


@pytest.mark.parametrize("fan_in", [12, 192])
def test_the_papers_swin_starts_as_torchs_linear_does(fan_in):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    linear = torch.nn.Linear(fan_in, 5000)
    for weight in (linear.weight, linear.bias):
        assert Uniform(fan_in**-0.5).fits(weight.detach().cpu().numpy())
