"""Recipes: complete, named descriptions of training runs, with the published results."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from smallvit.data.autoaugment import AutoAugment
from smallvit.data.batches import Batches, steps_per_epoch
from smallvit.data.datasets import Dataset
from smallvit.data.mixing import CutMixOrMixup
from smallvit.data.transforms import (
    UNIT_RANGE,
    Normalize,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomZoom,
    Resize,
    Transform,
    fill_in_statistics,
)
from smallvit.layers.sizes import to_choice, to_count, to_rate
from smallvit.models import swin, vit
from smallvit.models.convnet import ConvNetConfig
from smallvit.models.swin import SwinConfig
from smallvit.models.vit import VitConfig

LAST_EPOCH = "last epoch"
BEST_EPOCH = "best epoch on the test set"


@dataclass(frozen=True)
class Published:
    """What others report for a recipe, in percent of the 10,000 test images of CIFAR-100.

    Args:
        source: where it was published.
        top1: images whose class is ranked first.
        top5: images whose class is among the first five; `None` if not reported.
        loss: mean cross-entropy; `None` if not reported.
    """

    source: str
    top1: float
    top5: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine, updated at every step.

    Args:
        warmup: fraction of all steps spent warming up.
        floor: learning rate at both ends.
    """

    warmup: float = 0.1
    floor: float = 1e-6


@dataclass(frozen=True)
class Recipe:
    """A complete training run: model, data pipeline, optimizer and published result.

    Args:
        name: its name on the command line and in records.
        summary: one line for people.
        model: the network's configuration.
        parameters: the network's trainable parameters.
        transforms: what is done to the images, in this order; in evaluation, only those that are
            not random.
        epochs: an epoch is `passes` over the training images.
        batch_size: images per step.
        learning_rate: AdamW's, or the schedule's maximum.
        weight_decay: AdamW's, in Keras 3 units: each step subtracts
            `learning_rate * weight_decay * w` from every weight `w`.
        label_smoothing: fraction of each label spread uniformly over all classes.
        validation_fraction: fraction of the training images, taken from the end, to hold out.
        shuffle: whether to visit the images in a new order in each epoch.
        published: the results to reproduce; `None` if there are none.
        schedule: of the learning rate; `None` for a constant one.
        mixing: applied to whole batches, images and labels; `None` for none.
        passes: passes over the training images per epoch, each in a new order. With more than one,
            the last, smaller batch is dropped.
        protocol: which figures are reported: `LAST_EPOCH`, with validation on the images held out,
            or `BEST_EPOCH`, with validation on the test images.
        train_images: number of training images to use, from the start; `None` for all that are not
            held out.

    Raises:
        ValueError: if a count, a fraction or the protocol is none, or `LAST_EPOCH` has no images
            to validate with.
    """

    name: str
    summary: str
    model: ConvNetConfig | SwinConfig | VitConfig
    parameters: int
    transforms: tuple[Transform, ...]
    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    validation_fraction: float = 0.1
    shuffle: bool = True
    published: Published | None = None
    schedule: Cosine | None = None
    mixing: CutMixOrMixup | None = None
    passes: int = 1
    protocol: str = LAST_EPOCH
    train_images: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size", "passes"):
            to_count(getattr(self, name), name)
        for name in ("validation_fraction", "label_smoothing"):
            to_rate(getattr(self, name), name)
        to_choice(self.protocol, "protocol", (LAST_EPOCH, BEST_EPOCH))
        if self.protocol == LAST_EPOCH and not self.validation_fraction:
            raise ValueError(f"validation_fraction must be above 0 if protocol is {LAST_EPOCH!r}.")

    def to_dict(self) -> dict:
        """The recipe in JSON's terms, as a record keeps it; a dataclass is a dict with its name."""
        return {name: _to_plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, fields: dict) -> "Recipe":
        """The recipe that `to_dict` gave.

        Raises:
            KeyError, TypeError: if this version has no such class, or no such option.
        """
        return cls(**{name: _from_plain(value) for name, value in fields.items()})

    def for_dataset(self, dataset: Dataset) -> "Recipe":
        """The recipe with the dataset's number of classes and, if unset, its statistics."""
        return replace(
            self,
            model=replace(self.model, num_classes=len(dataset.classes)),
            transforms=fill_in_statistics(self.transforms, dataset.mean, dataset.std),
        )

    def batches(self, images: np.ndarray, labels: np.ndarray, **session: Any) -> Batches:
        """The recipe's batches of these images; arguments as for `Batches`."""
        names = ("transforms", "batch_size", "mixing", "shuffle", "passes")
        own = {name: getattr(self, name) for name in names}
        return Batches(images, labels, num_classes=self.model.num_classes, **own, **session)

    def steps_per_epoch(self, num_images: int) -> int:
        """Optimizer steps per epoch of this many training images."""
        return steps_per_epoch(num_images, self.batch_size, self.passes)


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {name: _to_plain(x) for name, x in vars(value).items()}
        return {"class": type(value).__name__, **fields}
    return [_to_plain(x) for x in value] if isinstance(value, tuple | list) else value


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict) and "class" in value:
        fields = {name: _from_plain(x) for name, x in value.items() if name != "class"}
        return _CLASSES[value["class"]](**fields)
    return tuple(_from_plain(x) for x in value) if isinstance(value, list) else value


_CLASSES = {
    kind.__name__: kind
    for kind in (
        *(Published, Cosine, ConvNetConfig, SwinConfig, VitConfig, AutoAugment, CutMixOrMixup),
        *(Normalize, RandomCrop, RandomErasing, RandomFlip, RandomRotation, RandomZoom, Resize),
    )
}


SWIN_KERAS = Recipe(
    name="swin-keras",
    summary="Swin as the Keras code example trains it: one stage, window 2",
    model=swin.SWIN_KERAS,
    parameters=162_996,
    transforms=(RandomFlip(), UNIT_RANGE),  # the example's crop to the full size does nothing
    epochs=40,
    weight_decay=1e-4,
    shuffle=False,  # the example never shuffles
    published=Published(
        "Keras code example 'Image classification with Swin Transformers'", 44.80, 75.23, 2.70
    ),
)
SWIN_DROP_PATH = replace(
    SWIN_KERAS,
    name="swin-drop-path",
    summary="swin-keras with a drop path that drops paths",
    model=swin.SWIN_FIXED,
    published=None,
)
SWIN_CROP = replace(
    SWIN_DROP_PATH,
    name="swin-crop",
    summary="swin-drop-path with a crop that crops",
    transforms=(RandomFlip(), RandomCrop(padding=4), UNIT_RANGE),
)
SWIN_SHUFFLE = replace(
    SWIN_CROP,
    name="swin-shuffle",
    summary="swin-crop in a new order in each epoch",
    shuffle=True,
)
SWIN_NORMALIZE = replace(
    SWIN_SHUFFLE,
    name="swin-normalize",
    summary="swin-shuffle with channels normalised by mean and standard deviation",
    transforms=(RandomFlip(), RandomCrop(padding=4), Normalize()),
)
SWIN_FIXED = replace(
    SWIN_NORMALIZE,
    name="swin-fixed",
    summary="swin-keras without its faults: swin-normalize with a schedule and more decay",
    weight_decay=0.05,
    schedule=Cosine(warmup=0.05),
)
SWIN_STEPS = [
    *(SWIN_KERAS, SWIN_DROP_PATH, SWIN_CROP, SWIN_SHUFFLE, SWIN_NORMALIZE, SWIN_FIXED),
]
"""From the Keras example's Swin to one without its faults, one change at a time; the last step
brings the schedule and its decay together."""

_VIT_EXAMPLE = "Keras code example 'Train a Vision Transformer on small datasets'"
VIT_KERAS = Recipe(
    name="vit-keras",
    summary="ViT as the Keras code example trains it, at 72 pixels",
    model=vit.VIT_KERAS,
    parameters=21_759_012,
    transforms=(Normalize(), Resize(72), RandomFlip(), RandomRotation(0.02), RandomZoom(0.2)),
    epochs=50,
    batch_size=256,
    learning_rate=1e-3,  # constant: the example builds a schedule and does not use it
    # The published results were made with an AdamW that subtracts 1e-4 * w at each step.
    weight_decay=1e-4 / 1e-3,
    label_smoothing=0.0,
    published=Published(_VIT_EXAMPLE, 53.10, 80.53, 1.8172),
)
SL_VIT_KERAS = replace(
    VIT_KERAS,
    name="sl-vit-keras",
    summary="vit-keras with shifted patch tokenization and locality self-attention",
    model=vit.SL_VIT_KERAS,
    parameters=21_787_748,
    published=Published(_VIT_EXAMPLE, 56.11, 82.27, 1.6760),
)
SL_VIT_FIXED = replace(
    SL_VIT_KERAS,
    name="sl-vit-fixed",
    summary="sl-vit-keras with the example's faults fixed; as many epochs and parameters",
    published=None,
    schedule=Cosine(),
)
_IN_KERAS_3_UNITS = [
    replace(
        recipe,
        name=f"{recipe.name}-decay-1e-4",
        summary=f"{recipe.name} with the example's weight decay in Keras 3's units",
        weight_decay=1e-4,
    )
    for recipe in (VIT_KERAS, SL_VIT_KERAS)
]

_PAPER = "Lee, Lee and Song 2021, and its official repository's README"
PAPER = [
    Recipe(
        name=f"{name}-paper",
        summary=f"{name} of the paper on SPT and LSA",
        model=model,
        parameters=parameters,
        transforms=(RandomFlip(), RandomCrop(4), AutoAugment(), Normalize(), RandomErasing()),
        epochs=100,
        validation_fraction=0.0,
        published=Published(_PAPER, top1) if top1 else None,
        schedule=Cosine(),
        mixing=CutMixOrMixup(),
        passes=3,
        protocol=BEST_EPOCH,
    )
    for name, parameters, top1, model in (
        ("vit", 2_709_796, 73.81, vit.VIT_PAPER),
        ("sl-vit", 2_747_248, 76.92, vit.SL_VIT_PAPER),
        ("swin", 7_107_838, 76.87, swin.SWIN_PAPER),
        ("sl-swin", 8_596_816, 79.99, swin.SL_SWIN_PAPER),
        ("s-vit", 2_747_140, None, vit.S_VIT_PAPER),
        ("l-vit", 2_709_904, None, vit.L_VIT_PAPER),
        ("s-swin", 8_596_726, None, swin.S_SWIN_PAPER),
        ("l-swin", 7_107_928, None, swin.L_SWIN_PAPER),
    )
]
"""The recipes of Lee, Lee and Song 2021 (arXiv 2112.13492), as their official code runs them."""

_PAPER_AT_3E_3 = [
    replace(
        recipe,
        name=f"{recipe.name}-3e-3",
        summary=f"{recipe.name} at learning rate 3e-3",  # in its first author's scripts, for ViTs
        learning_rate=3e-3,
    )
    for recipe in PAPER
]

_VIT = VitConfig(
    embed_dim=64, depth=4, num_heads=4, qkv_bias=True, pool="mean", drop_path_rates=(0.0, 0.0)
)
_VIT_NORM = replace(_VIT, input_norm=True)
_S_VIT = replace(_VIT, shifted_patches=True)
_SL_VIT = replace(_S_VIT, locality=True)
_BIAS = SwinConfig(
    patch_size=4,
    embed_dim=64,
    depths=(4,),
    num_heads=(4,),
    window_size=8,
    patch_norm=False,
    drop_path_rates=(0.0, 0.0),
)
_SWIN = replace(_BIAS, window_size=4)
_WINDOWS = replace(_SWIN, shifted_windows=False)
LADDER = [
    Recipe(
        name=f"ladder-{name}",
        summary=summary,
        model=model,
        parameters=parameters,
        transforms=(RandomFlip(), RandomCrop(padding=4), Normalize()),
        epochs=18,
        learning_rate=2e-3,
        schedule=Cosine(),
    )
    for name, parameters, model, summary in (
        ("cnn", 144_124, ConvNetConfig(), "small residual convolutional network"),
        ("vit", 147_748, _VIT, "small ViT: 8 x 8 tokens, 64 channels, 4 blocks"),
        ("vit-norm", 147_844, _VIT_NORM, "ladder-vit with its patches normalised"),
        ("s-vit", 160_516, _S_VIT, "ladder-vit with shifted patch tokenization"),
        ("sl-vit", 160_532, _SL_VIT, "ladder-s-vit with locality self-attention"),
        ("vit-bias", 151_348, _BIAS, "ladder-vit with a relative position bias"),
        ("windows", 148_532, _WINDOWS, "ladder-vit-bias in windows of 4 x 4 tokens"),
        ("swin", 148_532, _SWIN, "ladder-windows with every second block's windows shifted"),
    )
]
"""Steps from a ViT to locality, one change at a time. All cost about the same, in parameters and in
multiplications, and are trained alike."""

_RACE = ("cnn", "vit", "sl-vit", "swin")
LADDER_BY_SIZE = [
    replace(
        recipe,
        name=f"{recipe.name}-{train_images}",
        summary=f"{recipe.name} with {train_images:,} training images, in as many steps",
        train_images=train_images,
        passes=45_000 // train_images,
    )
    for train_images in (15_000, 5_000, 1_000)
    for recipe in LADDER
    if train_images == 5_000 or recipe.name.removeprefix("ladder-") in _RACE
]

_TUNED = [
    recipe
    for recipe in (*LADDER, *LADDER_BY_SIZE)
    if recipe.name.removesuffix("-5000").removeprefix("ladder-") in _RACE
]
_LADDER_BY_RATE = [
    replace(
        recipe,
        name=f"{recipe.name}-{rate}",
        summary=f"{recipe.name} at learning rate {rate}",
        learning_rate=float(rate),
    )
    for recipe in _TUNED
    for rate in ("1e-3", "4e-3", "8e-3", "16e-3", "32e-3")
]
_LADDER_MIXED = [
    replace(
        recipe,
        name=f"{recipe.name}-mixed",
        summary=f"{recipe.name} with CutMix or Mixup in half of its batches",
        mixing=CutMixOrMixup(),
    )
    for recipe in _TUNED
]

ALL = [
    *(*SWIN_STEPS, VIT_KERAS, SL_VIT_KERAS, *_IN_KERAS_3_UNITS, SL_VIT_FIXED),
    *(*PAPER, *_PAPER_AT_3E_3, *LADDER, *LADDER_BY_SIZE),
    *(*_LADDER_BY_RATE, *_LADDER_MIXED),
]
RECIPES = {recipe.name: recipe for recipe in ALL}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: if there is none; the message lists all.
    """
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}; choose one of: {', '.join(RECIPES)}.")
    return RECIPES[name]
