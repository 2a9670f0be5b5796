"""From pixels to tokens, and from fine tokens to coarse ones."""

from math import prod
from typing import Any

from keras import layers, ops

from smallvit.layers.dense import Composite
from smallvit.layers.sizes import GRID, Size, check_shape, count_tiles, to_count, to_pair
from smallvit.layers.windows import pad_grid, window_partition


def patchify(images: Any, patch_size: Size) -> Any:
    """Cut images into patches and lay each patch out as one vector.

    Args:
        images: array or tensor `(batch, height, width, channels)`, any dtype.
        patch_size: height `Ph` and width `Pw` of a patch, in pixels. They divide the image.

    Returns:
        Tensor `(batch, height / Ph, width / Pw, Ph * Pw * channels)`; within a patch the values
        run by row, then column, then channel.

    Raises:
        ValueError: if the patch does not divide the image, or the images have another rank.

    Source: Dosovitskiy et al. 2021 (ViT), section 3.1.
    """
    check_shape(images.shape, GRID, "images")
    grid = count_tiles(images.shape[1:3], patch_size, "patch_size")
    patches = window_partition(images, patch_size)
    return ops.reshape(patches, (-1, *grid, prod(patches.shape[1:])))


def shift_diagonally(images: Any, shift: Size) -> Any:
    """Stack an image and its four diagonal shifts along the channels.

    What is shifted in from outside the image is zero.

    Args:
        images: array or tensor `(batch, height, width, channels)`, any dtype.
        shift: how far, in pixels along each axis.

    Returns:
        Tensor `(batch, height, width, 5 * channels)`: the image itself, then the image as seen by
        a reader who looks `shift` pixels to the left and up, right and up, left and down, right
        and down.

    Raises:
        ValueError: if `shift` is negative, or the images have another rank.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), "Shifted Patch Tokenization".
    """
    down, right = to_pair(shift, "shift", minimum=0)
    check_shape(images.shape, GRID, "images")
    _, height, width, _ = images.shape
    padded = ops.pad(images, ((0, 0), (down, down), (right, right), (0, 0)))
    corners = [(i, j) for i in (0, 2 * down) for j in (0, 2 * right)]
    shifted = [padded[:, i : i + height, j : j + width] for i, j in corners]
    return ops.concatenate([images, *shifted], axis=-1)


class _Tokens(Composite):
    """What the layers below share: a grid of tokens of `embed_dim` channels, one for each patch."""

    axes = GRID

    def __init__(self, patch_size: Size, embed_dim: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.patch_size = to_pair(patch_size, "patch_size")
        self.embed_dim = to_count(embed_dim, "embed_dim")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        check_shape(input_shape, GRID)
        rows, columns = (-(-n // p) for n, p in zip(input_shape[1:3], self.patch_size, strict=True))
        return (input_shape[0], rows, columns, self.embed_dim)


class PatchEmbed(_Tokens):
    """Patches to tokens: `patchify`, then one linear map shared by all patches.

    Args:
        patch_size: height `Ph` and width `Pw` of a patch, in pixels; they divide the image.
        embed_dim: channels of a token.
        norm: whether a LayerNormalization follows the linear map, as in Swin.
        input_norm: whether a LayerNormalization of the pixels precedes it, as in shifted patch
            tokenization.
        epsilon: the LayerNormalizations'.
        **kwargs: `kernel_initializer`, `bias_initializer`, and the arguments of every Keras layer.

    Input `(batch, height, width, channels)`; output
    `(batch, height / Ph, width / Pw, embed_dim)`, in the layer's compute dtype.

    Raises:
        ValueError: when it is built, if the patch does not divide the image.

    Source: Dosovitskiy et al. 2021 (ViT), equation 1; Liu et al. 2021 (Swin), section 3.1.
    """

    def __init__(
        self,
        patch_size: Size,
        embed_dim: int,
        norm: bool = False,
        input_norm: bool = False,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ):
        super().__init__(patch_size, embed_dim, **kwargs)
        self.proj = self.dense(self.embed_dim, "proj")
        nothing = layers.Identity(dtype=self.dtype_policy)
        self.norm = self.layer_norm("norm", epsilon) if norm else nothing
        self.input_norm = self.layer_norm("input_norm", epsilon) if input_norm else nothing

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.compute_output_shape(input_shape)  # refuses what does not fit
        patch_shape = (None, prod(self.patch_size) * input_shape[-1])
        self.input_norm.build(patch_shape)
        self.proj.build(patch_shape)
        self.norm.build((None, self.embed_dim))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        shape = super().compute_output_shape(input_shape)
        count_tiles(input_shape[1:3], self.patch_size, "patch_size")
        return shape

    def call(self, images: Any) -> Any:
        patches = patchify(ops.cast(images, self.compute_dtype), self.patch_size)
        return self.norm(self.proj(self.input_norm(patches)))


class PatchMerging(_Tokens):
    """Halve a grid: each 2 x 2 neighbourhood becomes one token.

    A grid of odd height or width is padded with zeros at the bottom or right.

    Args:
        embed_dim: channels of a merged token; the source doubles the channels it gets.
        norm: whether a LayerNormalization precedes the linear map.
        **kwargs: `kernel_initializer` and the arguments of every Keras layer. There is no bias.

    Input `(batch, height, width, channels)`; output
    `(batch, ceil(height / 2), ceil(width / 2), embed_dim)`, in the layer's compute dtype.

    Raises:
        ValueError: if `embed_dim` is not a valid count.

    Source: Liu et al. 2021 (Swin), section 3.1; the order of the four neighbours is that of
    microsoft/Swin-Transformer, `PatchMerging`.
    """

    def __init__(self, embed_dim: int, norm: bool = True, **kwargs: Any):
        super().__init__(2, embed_dim, **kwargs)
        nothing = layers.Identity(dtype=self.dtype_policy)
        self.norm = self.layer_norm("norm") if norm else nothing
        self.reduction = self.dense(self.embed_dim, "reduction", use_bias=False)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.norm.build((None, 4 * input_shape[-1]))
        self.reduction.build((None, 4 * input_shape[-1]))

    def call(self, x: Any) -> Any:
        x = pad_grid(ops.cast(x, self.compute_dtype), 2)
        _, height, width, channels = x.shape
        x = ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
        x = ops.transpose(x, (0, 1, 3, 4, 2, 5))  # the source goes down first
        x = ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))
        return self.reduction(self.norm(x))


class ShiftedPatchTokenization(_Tokens):
    """Patches to tokens that also see half a patch beyond their borders (SPT).

    Shift diagonally by half a patch, cut into patches, normalise, and map linearly. With a patch
    size of 2 it can replace Swin's patch merging. An image that the patch does not divide is padded
    with zeros at the bottom or right.

    Args:
        patch_size: height `Ph` and width `Pw` of a patch, in pixels or tokens.
        embed_dim: channels of a token.
        epsilon: the LayerNormalization's.
        **kwargs: `kernel_initializer`, `bias_initializer`, and the arguments of every Keras layer.

    Input `(batch, height, width, channels)`; output
    `(batch, ceil(height / Ph), ceil(width / Pw), embed_dim)`, in the layer's compute dtype.

    Raises:
        ValueError: if `patch_size` is not a valid size, or `embed_dim` not a valid count.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), "Shifted Patch Tokenization".
    """

    def __init__(self, patch_size: Size, embed_dim: int, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(patch_size, embed_dim, **kwargs)
        self.norm = self.layer_norm("norm", epsilon)
        self.proj = self.dense(self.embed_dim, "proj")

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        patch_shape = (None, 5 * prod(self.patch_size) * input_shape[-1])
        self.norm.build(patch_shape)
        self.proj.build(patch_shape)

    def call(self, images: Any) -> Any:
        images = pad_grid(ops.cast(images, self.compute_dtype), self.patch_size)
        images = shift_diagonally(images, [n // 2 for n in self.patch_size])
        return self.proj(self.norm(patchify(images, self.patch_size)))
