"""The command line: `python -m smallvit --help`."""

import argparse
import shlex
import sys
import time
from pathlib import Path

DESCRIPTION = """\
Train the recipes of the book and keep records of the runs.

  python -m smallvit recipes                                   what there is to train
  python -m smallvit train swin-keras --data ~/data            train one, to a record
  python -m smallvit train swin-keras --data shapes100 --epochs 1    try it, no download
  python -m smallvit reproduce --data ~/data --time-limit 60     all that is not recorded yet

A run that was stopped, by Ctrl-C, a time limit or a power cut, goes on when the same command is
given again. Exit status 3 says that a time limit came first.
KERAS_BACKEND=jax (or torch, or tensorflow) chooses what Keras computes with.
"""


RESULTS_HELP = "folder with the records that the book reads (default: results)"


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

    recipes = commands.add_parser("recipes", help="list the recipes and what is recorded")
    recipes.add_argument("--results", type=Path, default=Path("results"), help=RESULTS_HELP)
    recipes.set_defaults(run=_recipes)

    train = commands.add_parser("train", help="train a recipe and write its record")
    train.add_argument("recipe", help="a name that `recipes` lists, swin-keras for one")
    train.add_argument(
        "--epochs", type=_positive, help="epochs to train (default: as many as the recipe has)"
    )
    train.add_argument("--seed", type=int, default=0, help="seed of the run (default: 0)")
    train.add_argument(
        "--out",
        type=Path,
        default=Path("runs"),
        help="folder for records and weights (default: runs; the book reads results)",
    )
    _add_session_arguments(train)
    train.set_defaults(run=_train)

    reproduce = commands.add_parser(
        "reproduce", help="train every recipe that has no finished record, the cheapest first"
    )
    reproduce.add_argument("--out", type=Path, default=Path("results"), help=RESULTS_HELP)
    _add_session_arguments(reproduce)
    reproduce.set_defaults(run=_reproduce)
    return parser


def _add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """What `train` and `reproduce` both ask: where the data is, how to carry the run out."""
    parser.add_argument(
        "--data",
        help="folder or file with CIFAR-100, or `shapes100` for the synthetic stand-in "
        "(default: $SMALLVIT_DATA, then Keras's own download)",
    )
    parser.add_argument(
        "--time-limit",
        type=_minutes,
        metavar="MINUTES",
        help="stop after an epoch when the next would end later than this",
    )
    parser.add_argument(
        "--precision",
        help="float32, mixed_bfloat16 or mixed_float16 "
        "(default: mixed_bfloat16 with an accelerator, else float32)",
    )
    parser.add_argument(
        "--steps-per-call",
        type=_positive,
        help="steps that Keras takes in one call (default: 16 with an accelerator, else 1)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        help="processes that make batches ready (default: up to 8 with an accelerator, else none)",
    )
    parser.add_argument(
        "--distribute",
        action="store_true",
        help="spread each batch over all devices, or over a CPU's cores (JAX)",
    )


def _recipes(chosen: argparse.Namespace) -> int:
    from smallvit.training.recipes import RECIPES
    from smallvit.training.records import read_results

    records = read_results(chosen.results)
    print(f"{'recipe':26} {'parameters':>10} {'epochs':>6} {'published':>13}  recorded")
    for recipe in RECIPES.values():
        figures = recipe.published and (recipe.published.top1, recipe.published.top5)
        told = " / ".join("  -  " if x is None else f"{x:5.2f}" for x in figures or (None, None))
        recorded = ", ".join(map(_progress, records.get(recipe.name, []))) or "-"
        print(f"{recipe.name:26} {recipe.parameters:10,} {recipe.epochs:6} {told:>13}  {recorded}")
    return 0


def _progress(record) -> str:
    if record.complete and record.finished:
        figures = record.best or record.test
        top1 = figures["val_top1"] if record.best else figures["top1"]
        return f"seed {record.seed}: {100 * top1:.2f}"
    return f"seed {record.seed}: {len(record.history)} epochs"


def _train(chosen: argparse.Namespace) -> int:
    from smallvit.training.recipes import get_recipe

    recipe = get_recipe(chosen.recipe)
    return _run(recipe, _load_data(chosen), chosen)


def _load_data(chosen: argparse.Namespace):
    from smallvit.data.datasets import load_dataset

    if chosen.data == "shapes100":
        return load_dataset("shapes100")
    return load_dataset("cifar100", chosen.data)


def _reproduce(chosen: argparse.Namespace) -> int:
    from smallvit.training.loop import unrecorded

    dataset = _load_data(chosen)
    chosen.epochs, chosen.seed = None, 0
    started, limit = time.monotonic(), chosen.time_limit
    for recipe in unrecorded(chosen.out):
        print(f"--- {recipe.name}: {recipe.summary}", flush=True)
        chosen.recipe = recipe.name
        if limit is not None:
            chosen.time_limit = max(0.0, started + limit - time.monotonic())
        status = _run(recipe, dataset, chosen)
        if status:
            return status
    print("Every recipe has its record.")
    return 0


def _run(recipe, dataset, chosen: argparse.Namespace) -> int:
    """Train as the command line says; tell what came of it; return the exit status."""
    from smallvit.training.loop import Session, train

    if dataset.synthetic:
        print(f"Data: {dataset.name}, a synthetic stand-in. The figures say nothing of CIFAR-100.")
    session = Session(
        precision=chosen.precision,
        steps_per_call=chosen.steps_per_call,
        distribute=chosen.distribute,
        workers=chosen.workers,
        time_limit=chosen.time_limit,
    )
    try:
        record = train(
            recipe, dataset, chosen.out, chosen.seed, chosen.epochs, _command(chosen), session
        )
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on after the last finished epoch.", file=sys.stderr)
        return 130
    print(_summary(record, recipe))
    return 0 if record.finished else 3


def _command(chosen: argparse.Namespace) -> str:
    """The run as a reader would type it; where the data lies is the reader's own affair."""
    words = ["python", "-m", "smallvit", "train", chosen.recipe, "--seed", str(chosen.seed)]
    if chosen.epochs is not None:
        words += ["--epochs", str(chosen.epochs)]
    words += ["--data", chosen.data if chosen.data == "shapes100" else "DIR"]
    return shlex.join(words)


def _summary(record, recipe) -> str:
    lines = [
        f"{record.recipe}, seed {record.seed}: {len(record.history)} of {recipe.epochs} epochs on "
        f"{record.dataset}, {record.seconds:.0f} s on {record.device} ({record.backend})"
    ]
    if not record.finished:
        return "\n".join([*lines, "The time limit came first; the same command goes on."])
    test, best, published = record.test, record.best, recipe.published
    lines.append(
        f"test, last epoch: top-1 {100 * test['top1']:.2f}  top-5 {100 * test['top5']:.2f}  "
        f"loss {test['loss']:.4f}"
    )
    if best:
        lines.append(
            f"test, best epoch ({best['epoch']}): top-1 {100 * best['val_top1']:.2f}  "
            f"top-5 {100 * best['val_top5']:.2f}  loss {best['val_loss']:.4f}"
        )
    if record.complete and published:
        figures = {"top-1": published.top1, "top-5": published.top5, "loss": published.loss}
        told = "  ".join(f"{name} {x:.2f}" for name, x in figures.items() if x is not None)
        lines.append(f"published ({recipe.protocol}): {told}")
    return "\n".join(lines)


def _minutes(text: str) -> float:
    """Minutes as typed, in seconds."""
    minutes = float(text)
    if not minutes > 0:
        raise argparse.ArgumentTypeError(f"it must be more than 0; got {text}")
    return 60 * minutes


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1; got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
