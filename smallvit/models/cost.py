"""What a model costs: its parameters, and the multiplications that one image takes."""

from functools import singledispatch
from math import prod

import keras
from keras import layers

from smallvit.layers.blocks import SwinTransformerBlock, TransformerBlock
from smallvit.layers.patches import PatchEmbed, PatchMerging, ShiftedPatchTokenization
from smallvit.layers.sizes import pad_to_multiple
from smallvit.layers.tokens import ClassToken, PositionEmbedding

_ELEMENTWISE = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    PositionEmbedding,
    ClassToken,
)
"""Layers that have weights but multiply no matrix by them."""


def count_parameters(layer: layers.Layer) -> int:
    """Count the trainable parameters of a layer or a model, once it is built.

    `layer.count_params()` also counts what no gradient changes, such as the seeds of dropout.
    """
    return sum(prod(weight.shape) for weight in layer.trainable_weights)


def count_macs(model: keras.Model) -> int:
    """Count the multiply-accumulates of one image's way through a model.

    Counted are the products of matrices, which is where the work is: dense layers, whatever
    layer they are part of, and in attention both the scores (queries times keys) and the mixing
    (weights times values), for masked pairs and padded tokens as well, since they are computed,
    too. Not counted is what happens number by number: biases, norms, softmax, activations,
    masks. A training step takes about three times as many: every product has two others in the
    backward pass, one for each factor's gradient.

    Args:
        model: one that a function of this package built.

    Returns:
        Multiply-accumulates; twice that many are FLOPs in the strict sense, though papers often
        say FLOPs and mean these.

    Raises:
        TypeError: if a layer has weights and this function does not know what it multiplies.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492) report 189.8, 199.2, 242.3 and 284.9 "MFLOPs"
    for ViT, SL-ViT, Swin and SL-Swin. This function reproduces them from 0.1 to 0.2 percent below
    with 200 classes and images of 64 x 64 in twice as large patches, hence as many tokens: Tiny
    ImageNet, not CIFAR. One more operation for each number that a LayerNormalization puts
    out closes the gap. On CIFAR-100 the same models take 187.7, 190.1, 241.0 and 279.9 million.
    """
    return sum(_layer_macs(layer) for layer in model.layers)


@singledispatch
def _layer_macs(layer: layers.Layer) -> int:
    if layer.weights and not isinstance(layer, _ELEMENTWISE):
        raise TypeError(
            f"count_macs does not know what a {type(layer).__name__} multiplies; "
            "give it a model of this package."
        )
    return 0


@_layer_macs.register
def _(layer: layers.Dense) -> int:
    return _dense(layer, prod(layer.input.shape[1:-1]))


@_layer_macs.register
def _(layer: layers.Conv2D) -> int:
    return prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)


@_layer_macs.register(PatchEmbed)
@_layer_macs.register(ShiftedPatchTokenization)
def _(layer) -> int:
    return _dense(layer.proj, prod(layer.output.shape[1:-1]))


@_layer_macs.register
def _(layer: PatchMerging) -> int:
    return _dense(layer.reduction, prod(layer.output.shape[1:-1]))


@_layer_macs.register
def _(block: TransformerBlock) -> int:
    tokens = prod(block.input.shape[1:-1])
    return _attention(block.attn, tokens, attended=tokens) + _mlp(block.mlp, tokens)


@_layer_macs.register
def _(block: SwinTransformerBlock) -> int:
    padded_tokens = prod(pad_to_multiple(block.input_resolution, block.window))
    attention = _attention(block.attn, padded_tokens, attended=prod(block.window))
    return attention + _mlp(block.mlp, prod(block.input_resolution))


def _attention(attn: layers.Layer, tokens: int, attended: int) -> int:
    """Of `tokens` tokens, each of which looks at `attended`."""
    inner_dim = attn.proj.kernel.shape[0]
    products = 2 * tokens * attended * inner_dim  # scores, and the mixing of values
    return _dense(attn.qkv, tokens) + products + _dense(attn.proj, tokens)


def _mlp(mlp: layers.Layer, tokens: int) -> int:
    return _dense(mlp.fc1, tokens) + _dense(mlp.fc2, tokens)


def _dense(dense: layers.Dense, tokens: int) -> int:
    return tokens * prod(dense.kernel.shape)
