"""The command line: `python -m smallvit --help`."""

import argparse
import shlex
import sys
from pathlib import Path

DESCRIPTION = """\
Train the recipes of the book and keep records of the runs.

  python -m smallvit recipes                                   what there is to train
  python -m smallvit train swin-keras --data ~/data            train one, to a record
  python -m smallvit train swin-keras --data shapes100 --epochs 1    try it, no download

A run that was stopped, by Ctrl-C or a power cut, goes on when the same command is given again.
KERAS_BACKEND=jax (or torch, or tensorflow) chooses what Keras computes with.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _build_parser()
    chosen = parser.parse_args(arguments)
    try:
        return chosen.run(chosen)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"smallvit: {error}", file=sys.stderr)
        return 1


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m smallvit",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    recipes = commands.add_parser("recipes", help="list the recipes and the published figures")
    recipes.set_defaults(run=_recipes)

    train = commands.add_parser("train", help="train a recipe and write its record")
    train.add_argument("recipe", help="a name that `recipes` lists, swin-keras for one")
    train.add_argument(
        "--epochs", type=_positive, help="epochs to train (default: as many as the recipe has)"
    )
    train.add_argument("--seed", type=int, default=0, help="seed of the run (default: 0)")
    train.add_argument(
        "--data",
        help="folder or file with CIFAR-100, or `shapes100` for the synthetic stand-in "
        "(default: $SMALLVIT_DATA, then Keras's own download)",
    )
    train.add_argument(
        "--out",
        type=Path,
        default=Path("runs"),
        help="folder for records and weights (default: runs; the book reads results)",
    )
    train.set_defaults(run=_train)
    return parser


def _recipes(chosen: argparse.Namespace) -> int:
    from smallvit.recipes import RECIPES

    print(f"{'recipe':16} {'epochs':>6} {'top-1':>6} {'top-5':>6}  (published)")
    for recipe in RECIPES.values():
        published = recipe.published
        print(
            f"{recipe.name:16} {recipe.epochs:6} {published.top1:6.2f} {published.top5:6.2f}  "
            f"{recipe.summary}"
        )
    return 0


def _train(chosen: argparse.Namespace) -> int:
    from smallvit.pipeline import load_dataset
    from smallvit.recipes import get_recipe
    from smallvit.training import train

    recipe = get_recipe(chosen.recipe)
    dataset = load_dataset(chosen.data)
    if dataset.name != "cifar100":
        print(f"Data: {dataset.name}, a synthetic stand-in. The figures say nothing of CIFAR-100.")
    try:
        record = train(
            recipe, dataset, chosen.out, chosen.seed, chosen.epochs, command=_command(chosen)
        )
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on after the last finished epoch.", file=sys.stderr)
        return 130
    print(_summary(record, recipe))
    return 0


def _command(chosen: argparse.Namespace) -> str:
    """The run as a reader would type it; where the data lies is the reader's own affair."""
    words = ["python", "-m", "smallvit", "train", chosen.recipe, "--seed", str(chosen.seed)]
    if chosen.epochs is not None:
        words += ["--epochs", str(chosen.epochs)]
    words += ["--data", chosen.data if chosen.data == "shapes100" else "DIR"]
    return shlex.join(words)


def _summary(record, recipe) -> str:
    published = recipe.published
    test = record.test
    lines = [
        f"{record.recipe}, seed {record.seed}: {record.epochs} of {recipe.epochs} epochs on "
        f"{record.dataset}, {record.seconds:.0f} s on {record.device} ({record.backend})",
        f"test  top-1 {100 * test['top1']:.2f}  top-5 {100 * test['top5']:.2f}  "
        f"loss {test['loss']:.4f}",
    ]
    if record.complete:
        lines.append(
            f"published  top-1 {published.top1:.2f}  top-5 {published.top5:.2f}  "
            f"loss {published.loss:.2f}"
        )
    return "\n".join(lines)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1; got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
