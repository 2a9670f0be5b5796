"""The command line: `python -m smallvit --help`."""

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

DESCRIPTION = """\
Train the recipes of the book, keep records of the runs, and use what they learnt.

  python -m smallvit recipes                                  what there is to train
  python -m smallvit train swin-keras --data ~/data           train one (CIFAR-100 is in ~/data)
  python -m smallvit train swin-keras --dataset shapes100 --epochs 1     try it, no download
  python -m smallvit train ladder-sl-vit --dataset ~/photos   your images, a folder per class
  python -m smallvit predict runs/ladder-sl-vit/seed-0.json cat.jpg
  python -m smallvit reproduce --data ~/data --time-limit 60  an hour of what has no record yet

A run stopped by Ctrl-C, a time limit or a power cut continues when the same command is given again.
Exit status 3 means that a time limit came first.
KERAS_BACKEND=jax (or torch, or tensorflow) chooses Keras's backend.
"""

STOPPED = "\nStopped. The same command continues after the last finished epoch."
DOWNLOAD = "CIFAR-100 is a download of 169 MB, unless --data says where it is."


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"smallvit: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    chosen = _build_parser().parse_args(arguments)
    if getattr(chosen, "distribute", False):
        _shorten_last_words()
    stderr = os.dup(2)
    before = signal.signal(signal.SIGINT, lambda *_: _stop_at_once(stderr))
    try:
        _import_keras(stderr)
        return chosen.run(chosen)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        _leave_others(130)
        return 130
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "tensorflow", "torch"):
            raise
        _complain(
            f"Keras's backend is {error.name}, which is not installed: run `pip install "
            f"{error.name}`, or set KERAS_BACKEND to one that is."
        )
    except (ValueError, RuntimeError, OSError) as error:
        _complain(error)
        _leave_others(1)
    except Exception:
        traceback.print_exc()
        _leave_others(1)
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(stderr)
    return 1


def _leave_others(status: int) -> None:
    """End at once if other processes train with this one; at exit, JAX would wait for them."""
    jax = sys.modules.get("jax")
    if jax and jax.distributed.is_initialized():
        sys.stdout.flush()
        os._exit(status)


def _shorten_last_words() -> None:
    """If other processes train with this one, have `last_words` read its standard error."""
    if os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", "1") != "1":
        program = Path(__file__).parent / "training" / "last_words.py"
        command = [sys.executable, "-I", str(program)]
        # In a group of its own, which Ctrl-C does not reach; it ends with the last writer.
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)
        os.dup2(reader.stdin.fileno(), 2)


def _complain(error: object) -> None:
    print(f"smallvit: {error}", file=sys.stderr)


def _import_keras(stderr: int) -> None:
    """Import Keras without TensorFlow's log, which begins before its level can be set."""
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
    try:
        import keras

        if keras.backend.backend() == "tensorflow":
            keras.ops.zeros(1)  # looks for devices; JAX must not before `find_devices`
    finally:
        os.dup2(stderr, 2)


def _stop_at_once(stderr: int) -> NoReturn:
    """End the process while it imports and loads, with nothing to save or to clean up."""
    os.write(stderr, b"\nStopped; nothing was trained.\n")
    os._exit(130)


def _build_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="python -m smallvit", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"smallvit {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    recipes = commands.add_parser("recipes", help="list the recipes and what is recorded")
    about = "folder with the records to list (default: those that came with the package)"
    recipes.add_argument("--results", type=Path, help=about)
    recipes.set_defaults(run=_recipes)

    train = commands.add_parser("train", help="train a recipe and write its record")
    train.add_argument("recipe", help="a name that `recipes` lists, such as swin-keras")
    train.add_argument("--epochs", type=_whole(1), help="epochs (default: the recipe's own)")
    train.add_argument("--seed", type=_whole(0), default=0, help="seed of the run (default: 0)")
    known = (
        "cifar100, cifar10, shapes100 (painted, no download) or a folder with a folder of images"
    )
    train.add_argument("--dataset", help=f"{known} per class (default: cifar100)")
    _add_folder(train, "--out", "runs", "folder for records and weights; the book reads results")
    _add_session_arguments(train)
    train.set_defaults(run=_train)

    about = "train every recipe that has no finished record, the cheapest first"
    reproduce = commands.add_parser("reproduce", help=about)
    _add_folder(reproduce, "--out", "runs", "folder for your records and weights")
    about = "folder with others' records, to skip (default: those that came with the package)"
    reproduce.add_argument("--results", type=Path, help=about)
    _add_session_arguments(reproduce)
    reproduce.set_defaults(run=_reproduce, dataset=None, epochs=None, seed=0)

    predict = commands.add_parser("predict", help="classify images with the weights of a run")
    predict.add_argument("record", type=Path, help="its record, such as runs/RECIPE/seed-0.json")
    predict.add_argument("images", type=Path, nargs="+", metavar="image", help="an image file")
    predict.add_argument("--top", type=_whole(1), default=3, help="classes to list (default: 3)")
    predict.set_defaults(run=_predict)
    return parser


def _add_folder(parser: argparse.ArgumentParser, name: str, default: str, about: str) -> None:
    about = f"{about} (default: {default})"
    parser.add_argument(name, type=Path, default=Path(default), help=about)


def _add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """What `train` and `reproduce` share: where CIFAR is, how to carry out the run."""
    about = "folder or file with CIFAR (default: $SMALLVIT_DATA, then Keras's download, 169 MB)"
    parser.add_argument("--data", help=about)
    about = "of the computation (default: float32 on a CPU, else what suits)"
    precisions = ("float32", "mixed_bfloat16", "mixed_float16")  # `PRECISIONS`, without Keras
    parser.add_argument("--precision", choices=precisions, help=about)
    about = "stop after an epoch if the next would end later than this"
    parser.add_argument("--time-limit", type=_minutes, metavar="MINUTES", help=about)
    about = "optimizer steps per call of Keras (default: 16 on an accelerator, else 1)"
    parser.add_argument("--steps-per-call", type=_whole(1), help=about)
    about = "processes that prepare batches (default: up to 8 on an accelerator, else none)"
    parser.add_argument("--workers", type=_whole(0), help=about)
    about = "where to flip, crop, rotate, mix, ... (default: host; device: not tried on a GPU)"
    parser.add_argument("--augment", choices=("host", "device"), default="host", help=about)
    about = "spread each batch over all devices, a CPU's cores, or processes (JAX; see README)"
    parser.add_argument("--distribute", action="store_true", help=about)


def _recipes(chosen: argparse.Namespace) -> int:
    from smallvit.training.callbacks import tell_time
    from smallvit.training.recipes import RECIPES
    from smallvit.training.records import read_results

    records = read_results(_records_folder(chosen))
    print(f"{'recipe':26} {'parameters':>10} {'epochs':>6} {'published':>13}  recorded")
    for recipe in RECIPES.values():
        figures = recipe.published and (recipe.published.top1, recipe.published.top5)
        shown = " / ".join("  -  " if x is None else f"{x:5.2f}" for x in figures or (None, None))
        runs = records.get(recipe.name, [])
        recorded = ", ".join(map(_progress, runs)) or "-"
        print(f"{recipe.name:26} {recipe.parameters:10,} {recipe.epochs:6} {shown:>13}  {recorded}")
        usual = [(run.seconds / len(run.history), run.device) for run in runs if run.history]
        seconds, device = min(usual, default=(0, ""))
        took = f" (about {tell_time(seconds * recipe.epochs)} on {device})" if usual else ""
        print(f"    {recipe.summary}{took}")
    print(DOWNLOAD)
    return 0


def _records_folder(chosen: argparse.Namespace) -> Path:
    """The folder that `--results` names, which must exist, or that of the package's own records."""
    from smallvit.training.records import results_folder

    if chosen.results and not chosen.results.is_dir():
        raise ValueError(f"{chosen.results} is not a folder; name one with RECIPE/seed-N.json.")
    return chosen.results or results_folder()


def _progress(record) -> str:
    if record.comparable:
        return f"seed {record.seed}: {100 * record.reported['top1']:.2f}"
    return f"seed {record.seed}: {len(record.history)} of {record.epochs} epochs"


def _train(chosen: argparse.Namespace) -> int:
    from smallvit.training.recipes import get_recipe

    recipe = get_recipe(chosen.recipe)
    return _run(recipe, _load(chosen, recipe.model.image_size), chosen)


def _reproduce(chosen: argparse.Namespace) -> int:
    from smallvit.training.errors import OtherRunError
    from smallvit.training.loop import join_others, unrecorded
    from smallvit.training.processes import any_process
    from smallvit.training.records import read_results

    results = _records_folder(chosen)
    others = read_results(results) if results.resolve() != chosen.out.resolve() else {}
    for name, runs in others.items():
        print(f"{name} in {results}: {', '.join(map(_progress, runs))}")
    dataset, status = _load(chosen, 32), 0
    if chosen.distribute:
        join_others(dataset)
    end = None if chosen.time_limit is None else time.monotonic() + chosen.time_limit
    finished = {name for name, runs in others.items() if any(run.comparable for run in runs)}
    for number, recipe in enumerate(unrecorded(chosen.out, dataset, finished)):
        if end is not None:
            chosen.time_limit = max(0.0, end - time.monotonic())
            if number and any_process(not chosen.time_limit):
                print("The time limit came first; the same command continues.")
                return 3
        print(f"--- {recipe.name}: {recipe.summary}", flush=True)
        chosen.recipe = recipe.name
        try:
            if stopped := _run(recipe, dataset, chosen):
                return stopped
        except OtherRunError as error:
            _complain(error)
            status = 1
    print("Some recipes were left out." if status else "Every recipe has its record.")
    return status


def _load(chosen: argparse.Namespace, image_size):
    """The dataset to train on; says so if it is not the published one."""
    from smallvit.data.datasets import load_dataset

    dataset = load_dataset(chosen.dataset or "cifar100", chosen.data, image_size)
    if dataset.synthetic:
        print(f"Data: {dataset.name}, synthetic; the figures say nothing about CIFAR-100.")
    elif dataset.name.startswith("unverified-"):
        print(f"Data: {dataset.name}: not the published images. The record will say so.")
    return dataset


def _run(recipe, dataset, chosen: argparse.Namespace) -> int:
    """Train as the command line says; report the outcome; return the exit status."""
    from smallvit.training.loop import train
    from smallvit.training.runtime import Session

    session = Session(**{field.name: getattr(chosen, field.name) for field in fields(Session)})
    signal.signal(signal.SIGINT, signal.default_int_handler)  # there is something to clean up now
    out, seed, command = chosen.out, chosen.seed, _command(chosen)
    record = train(recipe, dataset, out, seed, chosen.epochs, command, session)
    print(_summary(record, recipe, out / recipe.name / f"seed-{seed}"))
    return 0 if record.finished else 3


def _command(chosen: argparse.Namespace) -> str:
    """The run as a reader, whose copy of the data is elsewhere, would type it."""
    epochs = "" if chosen.epochs is None else f" --epochs {chosen.epochs}"
    named = {x: f"--dataset {x}" for x in ("cifar10", "shapes100")}
    named |= dict.fromkeys((None, "cifar100"), "--data DIR")
    data = named.get(chosen.dataset, "--dataset FOLDER")
    precision = f" --precision {chosen.precision}" if chosen.precision else ""
    run = f"{chosen.recipe} --seed {chosen.seed}{epochs} {data}{precision}"
    return f"python -m smallvit train {run}"


def _summary(record, recipe, run: Path) -> str:
    from smallvit.training.records import record_path, weights_path

    lines = [
        f"{record.recipe}, seed {record.seed}: {len(record.history)} of {record.epochs} epochs on "
        f"{record.dataset}, {record.seconds:.0f} s on {record.device} ({record.backend})"
    ]
    if record.finished:
        lines[0] += "; this run is finished"
        lines += _figures(record, recipe)
    else:
        lines.append("The time limit came first; the same command continues.")
    if "-dirty" in (record.commit or ""):
        lines.append("The code has uncommitted changes, so the book does not count this run.")
    weights = weights_path(run)
    kept = weights if weights.exists() else "not in this folder"
    return "\n".join([*lines, f"record: {record_path(run)}   weights: {kept}"])


def _figures(record, recipe) -> list[str]:
    """What a finished run measured on the test images, beside what is published."""
    shown = {"last epoch": record.test}
    if record.best:
        shown[f"best epoch ({record.best['epoch']})"] = record.reported
    lines = [
        f"test, {which}: top-1 {100 * x['top1']:.2f}  top-5 {100 * x['top5']:.2f}  "
        f"loss {x['loss']:.4f}"
        for which, x in shown.items()
    ]
    if record.comparable and (published := recipe.published):
        figures = {"top-1": published.top1, "top-5": published.top5, "loss": published.loss}
        found = "  ".join(f"{name} {x:.2f}" for name, x in figures.items() if x is not None)
        lines.append(f"published ({recipe.protocol}): {found}")
    return lines


def _predict(chosen: argparse.Namespace) -> int:
    from smallvit.training.pretrained import load_run, predict

    record, model = load_run(chosen.record)
    for image in chosen.images:
        ranked = predict(record, model, image)[: chosen.top]
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in ranked)
        print(f"{image}: {shares}", flush=True)
    return 0


def _version() -> str:
    try:
        return version("smallvit")
    except PackageNotFoundError:
        return "(not installed)"


def _minutes(text: str) -> float:
    """Minutes as typed, in seconds."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"it must be more than 0 minutes; got {text}")
    return 60 * minutes


def _whole(minimum: int):
    """A parser of whole numbers that are not too small."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"it must be at least {minimum}; got {text}")
        return int(text)

    return parse


if __name__ == "__main__":
    sys.exit(main())
