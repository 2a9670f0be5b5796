"""Models with the weights of recorded runs."""

from pathlib import Path

import keras

from smallvit.training.loop import build_model
from smallvit.training.recipes import get_recipe
from smallvit.training.records import results_folder


def load_pretrained(name: str, seed: int = 0, results: Path | str | None = None) -> keras.Model:
    """A recipe's model with the weights that a run of it ended with.

    Args:
        name: the recipe's name.
        seed: the run's seed.
        results: the folder that the run was written to; by default that of the runs recorded with
            this package, whose weights are kept if they take at most 2 MB.

    Returns:
        A model from images `(batch, height, width, channels)`, treated as the recipe's
        deterministic transforms do, to logits `(batch, num_classes)`.

    Raises:
        ValueError: if there is no such recipe, no weights of that run, or if the file does not fit
            the recipe's model; the message says what to run.
    """
    recipe = get_recipe(name)
    path = Path(results or results_folder()) / name / f"seed-{seed}.weights.h5"
    command = f"`python -m smallvit train {name} --seed {seed} --out FOLDER`"
    if not path.is_file():
        raise ValueError(
            f"No weights of {name} with seed {seed} are kept in {path.parent}: run {command}, then "
            f'load_pretrained("{name}", {seed}, "FOLDER").'
        )
    model = build_model(recipe)
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} does not hold the weights of today's {name} ({error}); make them anew with "
            f"{command}."
        ) from error
    return model
