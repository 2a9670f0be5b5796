"""Recipes: everything a training run is made of, each under a name, beside what was published."""

import dataclasses
from dataclasses import dataclass

from smallvit.swin import SWIN_KERAS, SwinConfig


@dataclass(frozen=True)
class Published:
    """What others report for a recipe, in percent of the 10,000 test images of CIFAR-100."""

    source: str
    top1: float
    top5: float
    loss: float


@dataclass(frozen=True)
class Recipe:
    """A training run, whole: the model, the data's treatment, the optimizer, the published result.

    Args:
        name: what the command line and the records call it.
        summary: one line on what it is.
        model: the network's configuration.
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: AdamW's, constant.
        weight_decay: AdamW's, in Keras 3 units: a step takes `learning_rate * weight_decay * w`
            off every weight `w`.
        label_smoothing: share of each label spread evenly over all classes.
        validation_fraction: share of the training images, the last ones, that is held out.
        shuffle: whether each epoch visits the images in an order of its own.
        published: the figures to reproduce.
    """

    name: str
    summary: str
    model: SwinConfig
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    validation_fraction: float
    shuffle: bool
    published: Published

    def to_dict(self) -> dict:
        """The recipe as plain dicts, lists, strings and numbers, as a record keeps it."""
        return dataclasses.asdict(self)


RECIPES = {
    recipe.name: recipe
    for recipe in [
        Recipe(
            name="swin-keras",
            summary="Swin as the Keras code example trains it: one stage, window 2",
            model=SWIN_KERAS,
            epochs=40,
            batch_size=128,
            learning_rate=1e-3,
            weight_decay=1e-4,
            label_smoothing=0.1,
            validation_fraction=0.1,
            shuffle=False,  # the example never shuffles; `random_crop` to the full size is left out
            published=Published(
                source="Keras code example 'Image classification with Swin Transformers'",
                top1=44.80,
                top5=75.23,
                loss=2.70,
            ),
        ),
    ]
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}; choose one of: {', '.join(RECIPES)}.")
    return RECIPES[name]
