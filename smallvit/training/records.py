"""Records of training runs: what was run, on what, and the outcome."""

import contextlib
import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from smallvit.training.errors import OtherRunError
from smallvit.training.files import write_json
from smallvit.training.recipes import BEST_EPOCH, Recipe
from smallvit.training.runtime import output_of
from smallvit.training.upgrade import upgrade_record

SCHEMA = 2

NOT_OF_THE_RUN = ("name", "summary", "parameters", "epochs", "published")
"""What a recipe says about a run without changing its result; a run has its own `epochs`."""


class RecordError(ValueError):
    """Why a record cannot be read or believed, in one sentence."""


@dataclass(frozen=True)
class Record:
    """One training run, finished or not.

    Args:
        recipe: the recipe's name.
        config: the recipe itself, as `Recipe.to_dict` gives it.
        dataset: the dataset's name.
        published_data: whether its images are the published ones of that name.
        classes: the classes' names, in the order of the model's outputs; empty if unknown.
        image_size: height and width of the dataset's images, in pixels.
        seed: the run's seed.
        epochs: epochs to train.
        history: a dict per epoch trained: `epoch` (from 1), `loss`, `top1`, `top5`, the same with
            the prefix `val_`, `seconds` per epoch and `step_seconds` per step (median). Accuracies
            are fractions of 1. The config's `protocol` says what `val_` is measured on: images
            held out, or the test images.
        test: `loss`, `top1` and `top5` on the test images after the last epoch; `None` before it.
        parameters: trainable parameters.
        backend: Keras's backend.
        precision: Keras's dtype policy.
        sittings: a dict per stretch of epochs under one `commit`, on one `device`, with the same
            `versions`, and its number of `epochs`. The commit ends in `-dirty` if files had
            changed, and is `None` outside the package's repository.
        data_fingerprint: SHA-256 of training and test images and labels.
        command: how to run it again.
        weights: SHA-256 of the weights file; `None` before the last epoch and in old records.
    """

    recipe: str
    config: dict
    dataset: str
    published_data: bool
    classes: list
    image_size: list
    seed: int
    epochs: int
    history: list
    test: dict | None
    parameters: int
    backend: str
    precision: str
    sittings: list
    data_fingerprint: str
    command: str
    weights: str | None = None

    @property
    def finished(self) -> bool:
        """Whether all the epochs of this run have been trained."""
        return len(self.history) == self.epochs

    @property
    def comparable(self) -> bool:
        """Whether its figures may be compared with published ones.

        That takes all of its recipe's epochs, the published images and committed code.
        """
        full = self.finished and self.epochs == self.config.get("epochs")
        published_data = self.published_data and self.dataset == "cifar100"
        return full and published_data and "-dirty" not in (self.commit or "")

    @property
    def best(self) -> dict | None:
        """The epoch with the highest top-1 on the test images, if every epoch was tested."""
        if self.config.get("protocol") != BEST_EPOCH or not self.history:
            return None
        return max(self.history, key=lambda epoch: epoch["val_top1"])

    @property
    def reported(self) -> dict[str, float]:
        """The figures that a finished run's protocol reports: `top1`, `top5`, `loss`."""
        if self.best is None:
            return self.test
        return {name: self.best[f"val_{name}"] for name in ("top1", "top5", "loss")}

    @property
    def seconds(self) -> float:
        """Duration of all epochs together."""
        return sum(epoch.get("seconds", 0.0) for epoch in self.history)

    @property
    def device(self) -> str:
        """The devices it ran on."""
        return self._of_sittings("device") or "an unknown device"

    @property
    def commit(self) -> str | None:
        """The git commits of the code."""
        return self._of_sittings("commit")

    def _of_sittings(self, name: str) -> str | None:
        found = dict.fromkeys(sitting[name] for sitting in self.sittings)
        return ", then ".join(x or "outside git" for x in found) if any(found) else None


def record_path(run: Path) -> Path:
    """Where the record of the run `OUT/RECIPE/seed-N` is."""
    return run.with_name(run.name + ".json")


def weights_path(run: Path) -> Path:
    """Where the weights of the run `OUT/RECIPE/seed-N` are."""
    return run.with_name(run.name + ".weights.h5")


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    fields = dataclasses.asdict(record)
    write_json(path, {"schema": SCHEMA, **fields, "checksum": _checksum(fields)})


def read_record(path: Path) -> Record:
    """Read a record, of this schema or an older one.

    Raises:
        RecordError: if the file is not a record, or contradicts itself; the message names the
            file, what is wrong and what to do.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise RecordError(
            f"{path} cannot be read ({error.strerror}); name the record of a run, or make it "
            "readable."
        ) from error
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise RecordError(
            f"{path} is not a record, or a damaged one ({error}); name a run's `seed-N.json`, or "
            "restore it."
        ) from error
    try:
        record = _parse(fields)
        fault = next(_faults(record), None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        fault = f"it is not a record of this version ({type(error).__name__}: {error})"
        fault = str(error) if isinstance(error, RecordError) else fault
    if fault:
        raise RecordError(f"{path} is damaged: {fault}; restore it, or delete it and run it again.")
    return record


def results_folder() -> Path:
    """The records' folder: beside the package in its repository, or installed within it."""
    package = Path(__file__).parents[1]
    in_repository = package.parent / "results"
    return in_repository if in_repository.is_dir() else package / "recorded"


def read_results(folder: Path) -> dict[str, list[Record]]:
    """All the records in a folder, by recipe, in the order of their seeds.

    Raises:
        RecordError: if one of them cannot be read.
    """
    records: dict[str, list[Record]] = {}
    for path in sorted(Path(folder).glob("*/seed-*.json")):
        record = read_record(path)
        records.setdefault(record.recipe, []).append(record)
    return {name: sorted(those, key=lambda r: r.seed) for name, those in records.items()}


def differences(run: dict, other: dict) -> list[str]:
    """Names of the settings in which two runs differ, of those that can change a result.

    Args:
        run: `config`, `seed`, `epochs`, `backend`, `precision` and `data_fingerprint`.
        other: likewise.
    """
    one, two = _identity(run), _identity(other)
    return [name for name in {**one, **two} if one.get(name, KeyError) != two.get(name, KeyError)]


def require_same(settings: dict, found: dict, where: Path) -> None:
    """Raise `OtherRunError` if a run on disk differs from these settings in its result."""
    if names := differences(settings, found):
        raise OtherRunError(
            f"{where} holds a run with another {' and '.join(names)}; "
            "give another --out, or move that run away."
        )


def _identity(run: dict) -> dict:
    """A run's settings that can change its result, flat, as recipes are written today."""
    config = run["config"]
    # A recipe with options that this version lacks stays as it is: another run.
    with contextlib.suppress(KeyError, TypeError, ValueError):
        config = Recipe.from_dict(config).to_dict()
    flat = {f"model.{name}": value for name, value in config.get("model", {}).items()}
    flat |= {k: v for k, v in config.items() if k not in ("model", *NOT_OF_THE_RUN)}
    names = ("seed", "epochs", "backend", "precision", "data_fingerprint")
    return flat | {name: run.get(name) for name in names}


def fingerprint_file(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    versions = {"python": platform.python_version()}
    for package in ("smallvit", "keras", "tensorflow", "jax", "torch", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def describe_commit() -> str | None:
    """The commit of this package's source, `-dirty` if changed; `None` outside its repository."""
    package = Path(__file__).resolve().parents[1]
    git = ("git", "-C", str(package))  # It may be installed in somebody else's repository.
    top = output_of(*git, "rev-parse", "--show-toplevel")
    tracked = output_of(*git, "ls-files", "--error-unmatch", "__init__.py")
    if not tracked or Path(top).resolve() != package.parent:
        return None
    commit = output_of(*git, "rev-parse", "HEAD")
    changes = output_of(*git, "status", "--porcelain", "--", ".")
    return f"{commit}-dirty" if changes else commit


def _parse(fields: dict) -> Record:
    schema = fields.pop("schema", 1)
    if schema not in (1, SCHEMA):
        raise RecordError(f"its schema is {schema!r}, and this version reads up to {SCHEMA}")
    if schema == 1:
        fields = upgrade_record(fields)
    elif fields.pop("checksum") != _checksum(fields):
        raise RecordError("its content does not match its checksum, so it was edited")
    record = Record(**fields)
    for field in dataclasses.fields(Record):
        if not isinstance(getattr(record, field.name), field.type):
            raise RecordError(f"the wrong kind of value in {field.name}")
    return record


def _checksum(fields: dict) -> str:
    """SHA-256 of a record's other fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _faults(record: Record) -> Iterator[str]:
    """What contradicts itself in a record."""
    epochs = [figures["epoch"] for figures in record.history]
    if epochs != list(range(1, len(epochs) + 1)) or len(epochs) > record.epochs:
        yield f"its history is not of epochs 1, 2, 3 and so on to {record.epochs} at most"
    if record.finished != (record.test is not None):
        yield "figures on the test images belong to a finished run, and only to one"
    if sum(sitting["epochs"] for sitting in record.sittings) != len(epochs):
        yield "its sittings do not add up to its epochs"
    for figures in (*record.history, record.test or {}):
        for name, value in figures.items():
            if not math.isfinite(value) or ("top" in name and not 0 <= value <= 1):
                yield f"its {name} is {value}"
    if record.test and not record.test.keys() >= {"loss", "top1", "top5"}:
        yield "its test figures are not loss, top1 and top5"
