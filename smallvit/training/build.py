"""A recipe's network with its loss, optimizer, learning rate and metrics."""

import keras

from smallvit.models.convnet import ConvNetConfig, convolutional_network
from smallvit.models.swin import SwinConfig, swin_transformer
from smallvit.models.vit import VitConfig, vision_transformer
from smallvit.training.recipes import Recipe
from smallvit.training.runtime import gains_by_xla

_BUILDERS = {
    ConvNetConfig: convolutional_network,
    SwinConfig: swin_transformer,
    VitConfig: vision_transformer,
}


def build_model(recipe: Recipe) -> keras.Model:
    """The recipe's network, not compiled."""
    build = _BUILDERS[type(recipe.model)]
    return build(recipe.model, name=recipe.name.replace("-", "_"))


def build_schedule(
    recipe: Recipe, num_images: int
) -> float | keras.optimizers.schedules.CosineDecay:
    """The recipe's learning rate, constant or by steps, for this many training images.

    Raises:
        ValueError: if the images make no batch.
    """
    steps = recipe.epochs * recipe.steps_per_epoch(num_images)
    if not steps:
        raise ValueError(
            f"{recipe.name} trains in batches of {recipe.batch_size} images, and {num_images} "
            f"images times {recipe.passes} make none; give it more."
        )
    if recipe.schedule is None:
        return recipe.learning_rate
    warmup_steps = round(recipe.schedule.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.schedule.floor,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=recipe.schedule.floor / recipe.learning_rate,
    )


def compile_model(
    model: keras.Model, recipe: Recipe, num_images: int, steps_per_call: int = 1
) -> None:
    """Give a model the recipe's loss, optimizer and metrics, with XLA where that is faster.

    Args:
        model: as `build_model` returns it.
        recipe: the run.
        num_images: training images, which set the schedule's length.
        steps_per_call: optimizer steps per call of Keras's compiled function.
    """
    learning_rate = build_schedule(recipe, num_images)
    first_five = min(5, recipe.model.num_classes)
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, recipe.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="top1"),
            keras.metrics.TopKCategoricalAccuracy(first_five, name="top5"),
        ],
        steps_per_execution=steps_per_call,
        jit_compile=gains_by_xla(model.compute_dtype),
    )
