"""Recipes: complete, named descriptions of training runs, with the published results."""

import dataclasses
from concurrent.futures import ProcessPoolExecutor
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
        transforms: what is done to the images, in this order; only those that are not random are
            done to images that the model is tested with.
        epochs: an epoch is `passes` over the training images.
        batch_size: images per step.
        learning_rate: AdamW's, or the schedule's maximum.
        weight_decay: AdamW's, in Keras 3 units: each step subtracts
            `learning_rate * weight_decay * w` from every weight `w`.
        label_smoothing: fraction of each label spread uniformly over all classes.
        validation_fraction: fraction of the training images, taken from the end, to hold out.
        train_images: number of training images to use, from the start; `None` for all that are not
            held out.
        shuffle: whether to visit the images in a new order in each epoch.
        published: the results to reproduce; `None` if there are none.
        schedule: of the learning rate; `None` for a constant one.
        mixing: applied to whole batches, images and labels; `None` for none.
        passes: passes over the training images per epoch, each in a new order. With more than one,
            the last, smaller batch is dropped.
        protocol: which figures are reported: `LAST_EPOCH`, with validation on the images held out,
            or `BEST_EPOCH`, with validation on the test images.
    """

    name: str
    summary: str
    model: ConvNetConfig | SwinConfig | VitConfig
    parameters: int
    transforms: tuple[Transform, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    validation_fraction: float
    shuffle: bool
    published: Published | None = None
    schedule: Cosine | None = None
    mixing: CutMixOrMixup | None = None
    passes: int = 1
    protocol: str = LAST_EPOCH
    train_images: int | None = None

    def to_dict(self) -> dict:
        """The recipe in JSON's terms, as a record keeps it; a dict from a dataclass says which."""
        return {name: _to_plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, fields: dict) -> "Recipe":
        """The recipe that `to_dict` wrote down.

        Raises:
            KeyError, TypeError: if this version has no such class, or no such option.
        """
        return cls(**{name: _from_plain(value) for name, value in fields.items()})

    def for_dataset(self, dataset: Dataset) -> "Recipe":
        """The recipe with the dataset's number of classes and, where left open, its statistics."""
        return replace(
            self,
            model=replace(self.model, num_classes=len(dataset.classes)),
            transforms=fill_in_statistics(self.transforms, dataset.mean, dataset.std),
        )

    def batches(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        seed: int | None = None,
        first_epoch: int = 0,
        pool: ProcessPoolExecutor | None = None,
    ) -> Batches:
        """The recipe's batches of these images; arguments as for `Batches`."""
        return Batches(
            images,
            labels,
            num_classes=self.model.num_classes,
            transforms=self.transforms,
            batch_size=self.batch_size,
            mixing=self.mixing,
            shuffle=self.shuffle,
            passes=self.passes,
            seed=seed,
            first_epoch=first_epoch,
            pool=pool,
        )

    def steps_per_epoch(self, num_images: int) -> int:
        """Optimizer steps per epoch of so many training images."""
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
    transforms=(
        RandomFlip(),
        UNIT_RANGE,
    ),  # the example's `random_crop` to the full size does nothing
    epochs=40,
    batch_size=128,
    learning_rate=1e-3,
    weight_decay=1e-4,
    label_smoothing=0.1,
    validation_fraction=0.1,
    shuffle=False,  # the example never shuffles
    published=Published(
        source="Keras code example 'Image classification with Swin Transformers'",
        top1=44.80,
        top5=75.23,
        loss=2.70,
    ),
)

SWIN_FIXED = replace(
    SWIN_KERAS,
    name="swin-fixed",
    summary="swin-keras with the example's faults fixed; as many epochs",
    model=swin.SWIN_FIXED,
    transforms=(RandomFlip(), RandomCrop(padding=4), Normalize()),
    weight_decay=0.05,
    shuffle=True,
    published=None,
    schedule=Cosine(warmup=0.05),
)

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
    # The figures were made with an AdamW that takes 1e-4 * w off a weight at each step.
    weight_decay=1e-4 / 1e-3,
    label_smoothing=0.0,
    validation_fraction=0.1,
    shuffle=True,
    published=Published(source=_VIT_EXAMPLE, top1=53.10, top5=80.53, loss=1.8172),
)

SL_VIT_KERAS = replace(
    VIT_KERAS,
    name="sl-vit-keras",
    summary="vit-keras with shifted patch tokenization and locality self-attention",
    model=vit.SL_VIT_KERAS,
    parameters=21_787_748,
    published=Published(source=_VIT_EXAMPLE, top1=56.11, top5=82.27, loss=1.6760),
)

SL_VIT_FIXED = replace(
    SL_VIT_KERAS,
    name="sl-vit-fixed",
    summary="sl-vit-keras with the example's faults fixed; as many epochs and parameters",
    published=None,
    schedule=Cosine(),
)


def _as_keras_3_reads_it(recipe: Recipe) -> Recipe:
    """The recipe with the example's weight decay as Keras 3 would take it."""
    return replace(
        recipe,
        name=f"{recipe.name}-decay-1e-4",
        summary=f"{recipe.name} with the example's weight decay in Keras 3's units",
        weight_decay=1e-4,
    )


def _paper(
    name: str, model: SwinConfig | VitConfig, parameters: int, top1: float | None = None
) -> Recipe:
    """The recipe of Lee, Lee and Song 2021 (arXiv 2112.13492), as their official code runs it."""
    source = "Lee, Lee and Song 2021, and its official repository's README"
    return Recipe(
        name=name,
        summary=f"{name.removesuffix('-paper')} of the paper on SPT and LSA",
        model=model,
        parameters=parameters,
        transforms=(
            RandomFlip(),
            RandomCrop(padding=4),
            AutoAugment(),
            Normalize(),
            RandomErasing(),
        ),
        epochs=100,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.05,
        label_smoothing=0.1,
        validation_fraction=0.0,
        shuffle=True,
        published=None if top1 is None else Published(source=source, top1=top1),
        schedule=Cosine(),
        mixing=CutMixOrMixup(),
        passes=3,
        protocol=BEST_EPOCH,
    )


PAPER = [
    _paper("vit-paper", vit.VIT_PAPER, 2_709_796, top1=73.81),
    _paper("sl-vit-paper", vit.SL_VIT_PAPER, 2_747_248, top1=76.92),
    _paper("swin-paper", swin.SWIN_PAPER, 7_107_838, top1=76.87),
    _paper("sl-swin-paper", swin.SL_SWIN_PAPER, 8_596_816, top1=79.99),
    _paper("s-vit-paper", vit.S_VIT_PAPER, 2_747_140),
    _paper("l-vit-paper", vit.L_VIT_PAPER, 2_709_904),
    _paper("s-swin-paper", swin.S_SWIN_PAPER, 8_596_726),
    _paper("l-swin-paper", swin.L_SWIN_PAPER, 7_107_928),
]


def _at_three_times_the_rate(recipe: Recipe) -> Recipe:
    """The recipe at the learning rate that others needed to reach the paper's figures."""
    return replace(
        recipe,
        name=f"{recipe.name}-3e-3",
        summary=f"{recipe.name} at learning rate 3e-3",
        learning_rate=3e-3,
    )


_LADDER_VIT = VitConfig(
    embed_dim=64,
    depth=4,
    num_heads=4,
    qkv_bias=True,
    pool="mean",
    drop_path_rates=(0.0, 0.0),
)
_LADDER_SWIN = SwinConfig(
    patch_size=4,
    embed_dim=64,
    depths=(4,),
    num_heads=(4,),
    window_size=8,
    patch_norm=False,
    drop_path_rates=(0.0, 0.0),
)


def _rung(
    name: str, summary: str, model: ConvNetConfig | SwinConfig | VitConfig, parameters: int
) -> Recipe:
    """A recipe of the ladder, which changes one thing at a time between a ViT and locality.

    Every model costs about as much as the others, in parameters and in multiplications, and is
    trained alike.
    """
    return Recipe(
        name=f"ladder-{name}",
        summary=summary,
        model=model,
        parameters=parameters,
        transforms=(RandomFlip(), RandomCrop(padding=4), Normalize()),
        epochs=18,
        batch_size=128,
        learning_rate=2e-3,
        weight_decay=0.05,
        label_smoothing=0.1,
        validation_fraction=0.1,
        shuffle=True,
        schedule=Cosine(),
    )


LADDER = [
    _rung("cnn", "small residual convolutional network", ConvNetConfig(), 144_124),
    _rung("vit", "small ViT: 8 x 8 tokens, 64 channels, 4 blocks", _LADDER_VIT, 147_748),
    _rung(
        "vit-norm",
        "ladder-vit with its patches normalised",
        replace(_LADDER_VIT, input_norm=True),
        147_844,
    ),
    _rung(
        "s-vit",
        "ladder-vit with shifted patch tokenization",
        replace(_LADDER_VIT, shifted_patches=True),
        160_516,
    ),
    _rung(
        "sl-vit",
        "ladder-s-vit with locality self-attention",
        replace(_LADDER_VIT, shifted_patches=True, locality=True),
        160_532,
    ),
    _rung("vit-bias", "ladder-vit with a relative position bias", _LADDER_SWIN, 151_348),
    _rung(
        "windows",
        "ladder-vit-bias in windows of 4 x 4 tokens",
        replace(_LADDER_SWIN, window_size=4, shifted_windows=False),
        148_532,
    ),
    _rung(
        "swin",
        "ladder-windows with every second block's windows shifted",
        replace(_LADDER_SWIN, window_size=4),
        148_532,
    ),
]


def _with_fewer_images(recipe: Recipe, train_images: int) -> Recipe:
    """The recipe with the first images of its training set only, in as many steps."""
    return replace(
        recipe,
        name=f"{recipe.name}-{train_images}",
        summary=f"{recipe.name} with {train_images:,} training images, in as many steps",
        train_images=train_images,
        passes=45_000 // train_images,
    )


LADDER_BY_SIZE = [
    _with_fewer_images(recipe, train_images)
    for train_images in (15_000, 5_000, 1_000)
    for recipe in LADDER
    if recipe.name in ("ladder-cnn", "ladder-vit", "ladder-sl-vit", "ladder-swin")
]


ALL = [
    SWIN_KERAS,
    SWIN_FIXED,
    VIT_KERAS,
    SL_VIT_KERAS,
    _as_keras_3_reads_it(VIT_KERAS),
    _as_keras_3_reads_it(SL_VIT_KERAS),
    SL_VIT_FIXED,
    *PAPER,
    *map(_at_three_times_the_rate, PAPER),
    *LADDER,
    *LADDER_BY_SIZE,
]
RECIPES = {recipe.name: recipe for recipe in ALL}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}; choose one of: {', '.join(RECIPES)}.")
    return RECIPES[name]
