"""What a model costs: its parameters, and the multiplications that one image takes."""

from math import prod

import keras
from keras import layers

from smallvit.layers.blocks import SwinTransformerBlock, TransformerBlock
from smallvit.layers.patches import PatchEmbed, PatchMerging, ShiftedPatchTokenization
from smallvit.layers.sizes import pad_to_multiple
from smallvit.layers.tokens import ClassToken, PositionEmbedding

_MULTIPLYING = (layers.Dense, layers.Conv2D, PatchEmbed, PatchMerging, ShiftedPatchTokenization)
"""Layers that multiply each token, or each pixel of their output, by their kernel."""

_ELEMENTWISE = layers.BatchNormalization, layers.LayerNormalization, PositionEmbedding, ClassToken
"""Layers that have weights but multiply no matrix by them."""


def count_parameters(layer: layers.Layer) -> int:
    """Count the trainable parameters of a layer or a model, once it is built.

    `layer.count_params()` also counts what no gradient changes, such as frozen layers.
    """
    return sum(prod(weight.shape) for weight in layer.trainable_weights)


def count_macs(model: keras.Model) -> int:
    """Count the multiply-accumulates of one image's pass through a model of this package.

    Counted are the products of matrices, which is where the work is: dense layers, convolutions,
    and in attention both the scores (queries times keys) and the mixing (weights times values), for
    masked pairs and padded tokens as well, since they are computed, too. Not counted is what
    happens element by element: biases, norms, softmax, activations, masks. A training step takes
    about three times as many: every product has two others in the backward pass, one for each
    factor's gradient.

    Returns:
        Multiply-accumulates; twice that many are FLOPs in the strict sense, though papers often
        say FLOPs and mean these.

    Raises:
        TypeError: if a layer has weights and this function does not know what it multiplies.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492) report 189.8, 199.2, 242.3 and 284.9 "MFLOPs"
    for ViT, SL-ViT, Swin and SL-Swin. This function gives 0.1 to 0.2 percent less than that
    for 200 classes and images of 64 x 64 cut into patches twice as large, hence into as many
    tokens: Tiny ImageNet, not CIFAR. One more operation per element of every LayerNormalization's
    output closes the gap. On CIFAR-100 the same models take 187.7, 190.1, 241.0 and 279.9 million.
    """
    return sum(_layer_macs(layer) for layer in model.layers)


def _layer_macs(layer: layers.Layer) -> int:
    tokens = prod(layer.output.shape[1:-1])
    if isinstance(layer, TransformerBlock):
        queries = keys = tokens  # how many tokens attend, to how many each
        if isinstance(layer, SwinTransformerBlock):
            queries = prod(pad_to_multiple(layer.input_resolution, layer.window_size))
            keys = prod(layer.window_size)
        inner_dim = layer.attn.num_heads * layer.attn.key_dim
        products = 2 * queries * keys * inner_dim  # scores, and the mixing of values
        return products + queries * _kernel_size(layer.attn) + tokens * _kernel_size(layer.mlp)
    if isinstance(layer, _MULTIPLYING):
        return tokens * _kernel_size(layer)
    if layer.weights and not isinstance(layer, _ELEMENTWISE):
        raise TypeError(
            f"count_macs does not know what a {type(layer).__name__} multiplies; "
            "give it a model of this package."
        )
    return 0


def _kernel_size(layer: layers.Layer) -> int:
    """Elements of the layer's kernels, each of which multiplies something for each token."""
    return sum(prod(weight.shape) for weight in layer.weights if weight.name == "kernel")
