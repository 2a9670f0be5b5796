"""Read CIFAR-10 and CIFAR-100 from a local copy or a download, and never anything else instead."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from smallvit.data.errors import DataError, one_sentence

Split = tuple[np.ndarray, np.ndarray]

_LIMIT = (
    2**28
)  # Bytes that a copy, unpacked, or a file of one may have; the published have 2**27.5.
_SPLITS = ("train", "test")


@dataclass(frozen=True)
class Cifar:
    """How one of the two datasets is published.

    Args:
        title: what people call it.
        archive: the published file.
        folder: what the archive unpacks to.
        npz: how a copy in NumPy's format is called.
        md5: checksum of the archive.
        train: names of the files with training images, with their MD5 checksums.
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
        """All files with images, with their MD5 checksums."""
        return self.train | self.test

    @property
    def expected(self) -> str:
        """What a folder may hold."""
        return (
            f"{self.folder}/ with the files {', '.join(self.train)} and {', '.join(self.test)}, "
            f"{self.archive} or {self.npz}"
        )

    @property
    def remedy(self) -> str:
        """What to do about a damaged copy."""
        return (
            f"replace it with a fresh copy of {self.archive} from "
            "https://www.cs.toronto.edu/~kriz/cifar.html"
        )


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
    """Load CIFAR-100 with its 100 fine labels; arguments and errors as for `load_cifar`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 `(N, 32, 32, 3)`, 0 to 255, red first;
        labels int64 `(N,)`, 0 to 99. The published set has 50,000 and 10,000 images; a local
        copy may hold fewer.
    """
    train, test, _ = load_cifar(CIFAR100, data_dir)
    return train, test


def load_cifar(form: Cifar, data_dir: str | os.PathLike | None = None) -> tuple[Split, Split, bool]:
    """Load one of the two datasets.

    The first of these that is given is read, and only that one: `data_dir`, the environment
    variable `SMALLVIT_DATA`, a download of the published archive (160 MiB), which Keras keeps.

    Args:
        form: `CIFAR10` or `CIFAR100`.
        data_dir: folder with the unpacked archive (or that folder itself), with the archive, or
            with a `.npz` (arrays `x_train`, `y_train`, `x_test` and `y_test`), looked for in this
            order; or the path of such an archive or `.npz`.

    Returns:
        Training images and labels, test images and labels, and whether the files are the
        published ones, by their checksums.

    Raises:
        DataError: if there is no copy there, or it is damaged, unsafe, too large or of another
            form, or the download fails.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    data_dir = data_dir or os.environ.get("SMALLVIT_DATA")
    with one_sentence(data_dir):
        path = _find(form, Path(data_dir).expanduser()) if data_dir else _download(form)
        if path.suffix == ".npz":
            return *_read_npz(form, path), False
        files = _read_folder(form, path) if path.is_dir() else _read_archive(form, path)
        published = all(
            hashlib.md5(content, usedforsecurity=False).hexdigest() == form.files[name]
            for name, (content, _) in files.items()
        )
        train, test = (
            _join([_parse_batch(form, *files[name]) for name in names])
            for names in (form.train, form.test)
        )
        return train, test, published


def _join(splits: list[Split]) -> Split:
    images, labels = zip(*splits, strict=True)
    return (
        (images[0], labels[0])
        if len(splits) == 1
        else (np.concatenate(images), np.concatenate(labels))
    )


def _find(form: Cifar, path: Path) -> Path:
    """Find the copy that `path` is or holds: an unpacked folder, an archive or a .npz file."""
    if not path.exists():
        raise DataError(
            f"{path} does not exist; point data_dir or SMALLVIT_DATA at a folder that holds "
            f"{form.expected}."
        )
    if path.is_file():
        if path.name.endswith((".tar.gz", ".npz")):
            return path
        raise DataError(
            f"{path} is neither a folder nor a .tar.gz or .npz file; point data_dir or "
            f"SMALLVIT_DATA at {form.archive}, {form.npz} or the folder that holds one."
        )
    for folder in (path / form.folder, path):
        if all((folder / name).is_file() for name in form.files):
            return folder
    for file in (path / form.archive, path / form.npz):
        if file.is_file():
            return file
    raise DataError(
        f"{path} holds no whole {form.title}; expected {form.expected} in it, so put one there or "
        "point data_dir or SMALLVIT_DATA elsewhere."
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
    files = {}
    for name in form.files:
        with (folder / name).open("rb") as stream:
            files[name] = _read_limited(stream, str(folder / name)), str(folder / name)
    return files


def _read_archive(form: Cifar, path: Path) -> dict[str, tuple[bytes, str]]:
    """The same from an archive, in memory: nothing is unpacked, so nothing can land anywhere."""
    names, files = {f"{form.folder}/{name}": name for name in form.files}, {}
    try:
        with gzip.open(path) as stream:
            content = _read_limited(stream, str(path))  # To the end, where the checksum is.
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                name = str(PurePosixPath(member.name))  # Without a leading "./".
                if member.isreg() and not member.issparse() and name in names:
                    content = archive.extractfile(member).read()
                    files[names[name]] = content, f"{name} in {path}"
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is cut short or no gzipped tar archive; {form.remedy}.") from error
    for name in names:
        _take(files, names[name], str(path), form, name)
    return files


def _read_limited(stream: io.BufferedIOBase, source: str) -> bytes:
    content = bytearray()
    while chunk := stream.read(2**20):
        content += chunk
        if len(content) > _LIMIT:
            _refuse_size(source)
    return bytes(content)


def _refuse_size(source: str) -> None:
    raise DataError(
        f"{source} holds more than {_LIMIT >> 20} MiB, which no copy of CIFAR does; point data_dir "
        "or SMALLVIT_DATA at another one."
    )


def _read_npz(form: Cifar, path: Path) -> tuple[Split, Split]:
    keys = [f"{letter}_{split}" for split in _SPLITS for letter in "xy"]
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is cut short or no .npz file; save it again with numpy.savez.")
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
        if size > _LIMIT:
            _refuse_size(str(path))
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in keys if key in file}
    except DataError:
        raise
    except ValueError as error:
        raise DataError(
            f"{path} holds something other than plain arrays, and Python objects are never "
            "loaded; save uint8 images and integer labels with numpy.savez."
        ) from error
    except Exception as error:  # A damaged member can raise anything from zlib's to the parser's.
        raise DataError(f"{path} is damaged inside; save it again with numpy.savez.") from error
    x_train, y_train, x_test, y_test = (_take(arrays, key, str(path), form) for key in keys)
    shape = (32, 32, 3)
    return (
        _check(x_train, y_train, shape, f"train in {path}", form),
        _check(x_test, y_test, shape, f"test in {path}", form),
    )


class _PickledDtype:
    """Stands in for a dtype: takes its code and byte order from the pickle, and nothing else."""

    def __init__(self, code: str | bytes, *_: Any):
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _PickledArray:
    """Stands in for an array: copies plain numbers from the pickle, and nothing else."""

    def __init__(self, *_: Any):
        self.array = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, stand_in, by_column, content = state
        numbers = np.frombuffer(content, stand_in.dtype)  # Refuses Python objects.
        self.array = numbers.reshape(shape, order="F" if by_column else "C")


def _encode(text: str, codec: str) -> bytes:
    """Stands in for `codecs.encode`, some codecs of which blow up what they are given."""
    if codec not in ("latin1", "latin-1"):
        raise ValueError(f"no pickle of bytes asks for {codec}")
    return text.encode("latin-1")


class _ArrayUnpickler(pickle._Unpickler):
    """Reads plain Python types and arrays of numbers, and refuses all else.

    NumPy trusts the flags that a pickled dtype claims, so a forged one makes it take raw bytes for
    the addresses of Python objects. That is why stand-ins read the arrays. The unpickler written in
    C takes memory for whatever length a pickle claims; this one, in Python, does not.
    """

    _STAND_INS: ClassVar = {
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledDtype,
        ("_codecs", "encode"): _encode,  # How Python 3 writes bytes in protocol 2.
    }

    def __init__(self, content: bytes, source: str, remedy: str):
        # Python 2 wrote the published files: its strings, array contents too, are bytes.
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._source, self._remedy = source, remedy

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # NumPy 2 renamed it.
        if (module, name) not in self._STAND_INS:
            raise DataError(
                f"{self._source} asks for {f'{module}.{name}'!r}, which no file of CIFAR needs, so "
                f"nothing of it was loaded; {self._remedy}."
            )
        return self._STAND_INS[module, name]


def _parse_batch(form: Cifar, content: bytes, source: str) -> Split:
    """Parse a published file, whose rows hold 1,024 reds, then greens, then blues."""
    try:
        batch = _ArrayUnpickler(content, source, form.remedy).load()
    except DataError:
        raise
    except Exception as error:  # A damaged pickle can raise anything, says Python's manual.
        raise DataError(f"{source} is cut short or no pickle; {form.remedy}.") from error
    if not isinstance(batch, dict):
        raise DataError(f"{source} holds a {type(batch).__name__} and not a dict; {form.remedy}.")
    batch = {key.decode("latin-1") if isinstance(key, bytes) else key: batch[key] for key in batch}
    rows, labels = (_take(batch, key, source, form) for key in ("data", form.labels))
    rows, labels = (x.array if isinstance(x, _PickledArray) else x for x in (rows, labels))
    rows, labels = _check(rows, labels, (3 * 32 * 32,), source, form)
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _take(record: Mapping[str, Any], key: str, source: str, form: Cifar, told: str = "") -> Any:
    if key not in record:
        raise DataError(f"{source} lacks {told or key!r}; {form.remedy}.")
    return record[key]


def _check(images: Any, labels: Any, shape: tuple[int, ...], source: str, form: Cifar) -> Split:
    """Return the images, and their labels flat in int64, if they can be the dataset's."""
    if not isinstance(images, np.ndarray):
        raise DataError(f"{source} holds images of type {type(images).__name__}; {form.remedy}.")
    if images.dtype != np.uint8 or images.shape[1:] != shape or len(images) == 0:
        raise DataError(
            f"{source} holds images of type {images.dtype} and shape {images.shape} instead of one "
            f"or more of type uint8 and shape {shape}; {form.remedy}."
        )
    last = len(form.classes) - 1
    whole = f"{source} holds labels that are not whole numbers from 0 to {last}; {form.remedy}."
    if isinstance(labels, list):
        if any(type(label) is not int or not 0 <= label <= last for label in labels):
            raise DataError(whole)
        labels = np.array(labels, np.int64)
    if np.shape(labels) not in ((len(images),), (len(images), 1)):
        raise DataError(
            f"{source} holds {len(images)} images and labels of shape {np.shape(labels)}, but each "
            f"image needs one label; {form.remedy}."
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > last:
        raise DataError(whole)
    return images, labels.reshape(-1).astype(np.int64)
