"""Read CIFAR-10 and CIFAR-100 from a local copy or a download, and never anything else instead."""

import contextlib
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from smallvit.data.errors import DataError, one_sentence

Split = tuple[np.ndarray, np.ndarray]

_md5 = partial(hashlib.md5, usedforsecurity=False)
_LIMIT = 2**28  # Bytes that a copy may have, unpacked; the published ones have 2**27.5.


@dataclass(frozen=True)
class Cifar:
    """How one of the two datasets is published.

    Args:
        title: its name in messages.
        archive: the published file.
        folder: what the archive unpacks to.
        npz: file name of a copy in NumPy's format.
        md5: checksum of the archive.
        train: names of the files with training images, and their MD5 checksums.
        test: likewise for the test images.
        labels: key of the labels in these files.
        classes: the classes' names, in the order of the labels.
    """

    title: str
    archive: str
    folder: str
    npz: str
    md5: str
    train: dict[str, str]
    test: dict[str, str]
    labels: str
    classes: tuple[str, ...]

    @property
    def files(self) -> dict[str, str]:
        """All files with images, and their MD5 checksums."""
        return self.train | self.test

    @property
    def expected(self) -> str:
        """What a folder may hold."""
        files = f"{', '.join(self.train)} and {', '.join(self.test)}"
        return f"{self.folder}/ with the files {files}, {self.archive} or {self.npz}"

    @property
    def remedy(self) -> str:
        """What to do about a damaged copy."""
        site = "https://www.cs.toronto.edu/~kriz/cifar.html"
        return f"replace it with a fresh copy of {self.archive} from {site}"


_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"

CIFAR100 = Cifar(
    title="CIFAR-100",
    archive="cifar-100-python.tar.gz",
    folder="cifar-100-python",
    npz="cifar100.npz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    labels="fine_labels",
    classes=tuple(_CIFAR100_CLASSES.split()),
)
CIFAR10 = Cifar(
    title="CIFAR-10",
    archive="cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    npz="cifar10.npz",
    md5="c58f30108f718f92721af3b95e74349a",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    labels="labels",
    classes=tuple(_CIFAR10_CLASSES.split()),
)


def load_cifar100(data_dir: str | os.PathLike | None = None) -> tuple[Split, Split]:
    """Training and test set of CIFAR-100; arguments, sets and errors as for `load_cifar`."""
    return load_cifar(CIFAR100, data_dir)[:2]


def load_cifar(form: Cifar, data_dir: str | os.PathLike | None = None) -> tuple[Split, Split, bool]:
    """Load one of the two datasets.

    Only the first of these that is given is read: `data_dir`, the environment variable
    `SMALLVIT_DATA`, a download of the published archive (169 MB), which Keras keeps.

    Args:
        form: `CIFAR10` or `CIFAR100`.
        data_dir: folder with the unpacked archive (or that folder itself), with the published
            archive, or with a `.npz` (arrays `x_train`, `y_train`, `x_test` and `y_test`), looked
            for in this order; or the path of such an archive or `.npz`.

    Returns:
        Training and test set, and whether the files are the published ones, by their checksums. A
        set is images, uint8 `(N, 32, 32, 3)`, red first, and (fine) labels, int64 `(N,)`. The
        published ones have 50,000 and 10,000 images; a local copy may hold fewer.

    Raises:
        DataError: if there is no copy there, or it is damaged, unsafe, too large or of another
            form, or the download fails.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    data_dir = data_dir or os.environ.get("SMALLVIT_DATA")
    with one_sentence(data_dir or form.archive):
        path = _find(form, Path(data_dir).expanduser()) if data_dir else _download(form)
        if path.suffix == ".npz":
            return *_read_npz(form, path), False
        files = _read_folder(form, path) if path.is_dir() else _read_archive(form, path)
        published = all(
            _md5(content).hexdigest() == form.files[name] for name, (content, _) in files.items()
        )
        train, test = (
            [_parse(form, *files[name]) for name in names] for names in (form.train, form.test)
        )
        return _join(train), _join(test), published


def _join(splits: list[Split]) -> Split:
    images, labels = map(np.concatenate, zip(*splits, strict=True))
    return images, labels


def _find(form: Cifar, path: Path) -> Path:
    """Find the copy that `path` is or holds: an unpacked folder, an archive or a .npz file."""
    inside = [path / form.folder, path, path / form.archive, path / form.npz]
    for copy in [path] if path.is_file() else inside:
        packed = copy.is_file() and copy.name.endswith((".tar.gz", ".npz"))
        if packed or all((copy / name).is_file() for name in form.files):
            return copy
    fault = f"holds no whole {form.title}" if path.exists() else "does not exist"
    raise DataError(
        f"{path} {fault}; point data_dir or SMALLVIT_DATA at a folder that holds {form.expected}, "
        "or at one of these."
    )


def _download(form: Cifar) -> Path:
    import keras  # Here, because it starts a backend that reading a local copy does not need.

    try:
        origin = f"https://www.cs.toronto.edu/~kriz/{form.archive}"
        return Path(keras.utils.get_file(origin=origin, file_hash=form.md5))
    except Exception as error:  # Keras raises a bare Exception when it is offline.
        raise DataError(
            f"Keras could not download {form.title} (is this machine offline?); point data_dir or "
            f"SMALLVIT_DATA at a folder that holds {form.expected}, or train on the synthetic set, "
            "shapes100."
        ) from error


def _read_folder(form: Cifar, folder: Path) -> dict[str, tuple[bytes, str]]:
    """Content and description of each file with images."""
    for name in form.files:
        _limit((folder / name).stat().st_size, folder / name)
    return {name: ((folder / name).read_bytes(), f"{folder / name}") for name in form.files}


def _read_archive(form: Cifar, path: Path) -> dict[str, tuple[bytes, str]]:
    """The same from the published archive, and from no other: what is in it is then known."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, _md5).hexdigest() != form.md5:
            raise DataError(f"{path} is cut short, or not the published archive; {form.remedy}.")
    with tarfile.open(path) as archive:
        members = {name: f"{form.folder}/{name}" for name in form.files}
        return {
            name: (archive.extractfile(member).read(), f"{member} in {path}")
            for name, member in members.items()
        }


def _read_npz(form: Cifar, path: Path) -> tuple[Split, Split]:
    with _parsing(
        f"{path} is cut short, damaged or of something other than plain arrays (Python objects are "
        "never loaded); save uint8 images and integer labels with numpy.savez."
    ):
        with zipfile.ZipFile(path) as file:
            _limit(sum(member.file_size for member in file.infolist()), path)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    train, test = (
        _check(
            *(_take(arrays, f"{letter}_{split}", path, form) for letter in "xy"),
            (32, 32, 3),
            f"{split} in {path}",
            form,
        )
        for split in ("train", "test")
    )
    return train, test


def _limit(size: int, source: Path) -> None:
    if size > _LIMIT:
        raise DataError(
            f"{source} holds more than {_LIMIT >> 20} MiB, which no copy of CIFAR does; point "
            "data_dir or SMALLVIT_DATA at another one."
        )


@contextlib.contextmanager
def _parsing(complaint: str) -> Iterator[None]:
    """Turn what a parser raises, which can be anything if a file is damaged, into a `DataError`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError | DataError):
            raise
        raise DataError(complaint) from error


class _Inert:
    """Stands in for whatever a pickle names: keeps what it is given, and does nothing with it."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def to_array(self) -> np.ndarray:
        """The array of plain numbers that NumPy described, without asking NumPy's own classes."""
        _, shape, dtype, by_column, content = self.state
        numbers = np.dtype(dtype.arguments[0]).newbyteorder(dtype.state[1])
        return np.frombuffer(content, numbers).reshape(shape, order="F" if by_column else "C")


class _InertUnpickler(pickle._Unpickler):
    """Reads plain Python types, and nothing in the file can run, since nothing real is found.

    NumPy's own classes would trust the flags of a pickled dtype: a forged one makes them take raw
    bytes for addresses of Python objects. And this is Python's unpickler because the one in C
    allocates whatever length a pickle claims. So does Python's for a bytearray, which the published
    files do not hold.
    """

    dispatch = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: None}

    def find_class(self, module: str, name: str) -> Any:
        return _encode if (module, name) == ("_codecs", "encode") else _Inert


def _encode(text: str, codec: str) -> bytes:
    """Bytes as Python 3 writes them in old protocols; other codecs can multiply what they get."""
    return text.encode("latin-1")


def _parse(form: Cifar, content: bytes, source: str) -> Split:
    """Parse a published file, whose rows hold 1,024 reds, then greens, then blues."""
    with _parsing(f"{source} is cut short or no pickle of images and labels; {form.remedy}."):
        # Python 2 wrote the published files: its strings, array contents too, are bytes.
        batch = _InertUnpickler(io.BytesIO(content), encoding="bytes").load()
        batch = {k.decode("latin-1") if isinstance(k, bytes) else k: x for k, x in batch.items()}
        batch = {k: x.to_array() if isinstance(x, _Inert) else x for k, x in batch.items()}
    rows, labels = (_take(batch, key, source, form) for key in ("data", form.labels))
    rows, labels = _check(rows, labels, (3 * 32 * 32,), source, form)
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _take(record: Mapping[str, Any], key: str, source: Path | str, form: Cifar) -> Any:
    if key not in record:
        raise DataError(f"{source} lacks {key!r}; {form.remedy}.")
    return record[key]


def _check(images: Any, labels: Any, shape: tuple[int, ...], source: str, form: Cifar) -> Split:
    """Return the images, and their labels flat in int64, if they can be the dataset's."""
    dtype, found = getattr(images, "dtype", type(images).__name__), getattr(images, "shape", ())
    if dtype != np.uint8 or found[1:] != shape or found[0] == 0:
        raise DataError(
            f"{source} holds images of type {dtype} and shape {found} instead of one or more of "
            f"type uint8 and shape {shape}; {form.remedy}."
        )
    # Only a flat list becomes an array: lists within lists could unfold to any size.
    if isinstance(labels, list) and all(type(label) is int for label in labels):
        labels = np.array(labels)
    last, kind = len(form.classes) - 1, getattr(getattr(labels, "dtype", None), "kind", None)
    is_column = kind in ("i", "u") and labels.shape in ((len(images),), (len(images), 1))
    if not is_column or labels.min() < 0 or labels.max() > last:
        raise DataError(
            f"{source} holds {len(images)} images without one label for each, a whole number from "
            f"0 to {last}; {form.remedy}."
        )
    return images, labels.reshape(-1).astype(np.int64)
