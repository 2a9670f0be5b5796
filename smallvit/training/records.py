"""Records of training runs: what was run, where, and what came out."""

import dataclasses
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras

from smallvit.training.recipes import BEST_EPOCH


class RecordError(ValueError):
    """A record that cannot be read, in one sentence."""


@dataclass(frozen=True)
class Record:
    """One training run, finished or not.

    Args:
        recipe: the recipe's name.
        config: the recipe itself, as `Recipe.to_dict` gives it.
        dataset: `"cifar100"`, or `"shapes100"` for the synthetic stand-in.
        seed: the run's seed.
        epochs: epochs to train; `history` tells how many have been.
        complete: whether this is the recipe in full, on the real data.
        history: a dict for each epoch: `epoch` (from 1), `loss`, `top1`, `top5`, the same with
            `val_` in front, `seconds` for the epoch, `step_seconds` for a step (the median).
            Accuracies are fractions of 1. What `val_` is measured on, the config's `protocol`
            says: images held out, or the test images.
        test: `loss`, `top1` and `top5` on the test images after the last epoch; `None` before it.
        parameters: trainable parameters.
        seconds: all epochs together, over all sittings.
        device: what the run ran on.
        backend: Keras's backend.
        versions: Python and the packages that matter.
        commit: the code's git commit, with `-dirty` if files had changed; `None` outside git.
        data_fingerprint: SHA-256 of training and test images and labels.
        command: how to run it again.
        precision: Keras's dtype policy.
    """

    recipe: str
    config: dict
    dataset: str
    seed: int
    epochs: int
    complete: bool
    history: list
    test: dict | None
    parameters: int
    seconds: float
    device: str
    backend: str
    versions: dict
    commit: str | None
    data_fingerprint: str
    command: str
    precision: str = "float32"  # records from before there was a choice lack it

    @property
    def finished(self) -> bool:
        """Whether as many epochs have been trained as were to be."""
        return len(self.history) == self.epochs

    @property
    def best(self) -> dict | None:
        """The epoch with the highest top-1 on the test images, where every epoch was tested."""
        if self.config.get("protocol") != BEST_EPOCH or not self.history:
            return None
        return max(self.history, key=lambda epoch: epoch["val_top1"])


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, whole or not at all."""
    write_json(path, dataclasses.asdict(record))


def read_record(path: Path) -> Record:
    """Read a record back.

    Raises:
        RecordError: if the file is no JSON, or its fields are not a record's; the message names
            the file and the fields.
    """
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is not a readable record ({error}); run it again.") from error
    expected = {field.name: field.type for field in dataclasses.fields(Record)}
    if isinstance(fields, dict):
        fields = {**_defaults(), **fields}
    if not isinstance(fields, dict) or fields.keys() != expected.keys():
        differing = sorted(set(fields) ^ set(expected))
        raise RecordError(f"{path} is not a record: see its fields {', '.join(differing)}.")
    wrong = [name for name, kind in expected.items() if not isinstance(fields[name], kind)]
    if wrong:
        raise RecordError(f"{path} is damaged: wrong kind of value in {', '.join(wrong)}.")
    return Record(**fields)


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


def write_json(path: Path, content: Any) -> None:
    """Write JSON through a temporary file, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _defaults() -> dict:
    """What a record that lacks a newer field means by it."""
    fields = dataclasses.fields(Record)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def on_cpu() -> bool:
    """Whether Keras computes on the processor."""
    return "cpu" in _place()


def describe_device() -> str:
    """What Keras computes on: the GPU's name, or the processor's and its number of cores."""
    if on_cpu():
        return f"{_processor_name()}, {os.cpu_count()} cores"
    names = _output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return names.replace("\n", ", ") or _place()


def _place() -> str:
    return str(keras.ops.zeros(1).device).lower()  # every backend's tensors know theirs


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
    """The git commit of this package's source, `-dirty` if it has changes; `None` outside git."""
    here = Path(__file__).parents[1]
    commit = _output_of("git", "-C", str(here), "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _output_of("git", "-C", str(here), "status", "--porcelain", "--", ".")
    return f"{commit}-dirty" if changes else commit


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _output_of(*command: str) -> str:
    """What a command prints, or an empty string where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
