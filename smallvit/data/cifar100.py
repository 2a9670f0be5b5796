"""Read CIFAR-100 from a local copy or by Keras's download, and never anything else in its place."""

import codecs
import gzip
import io
import os
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

Split = tuple[np.ndarray, np.ndarray]

_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_CLASSES.split())

_FOLDER, _ARCHIVE, _NPZ = "cifar-100-python", "cifar-100-python.tar.gz", "cifar100.npz"
_SPLITS = ("train", "test")
_EXPECTED = f"{_FOLDER}/ with the files train and test, {_ARCHIVE} or {_NPZ}"
_REMEDY = (
    f"replace it with a fresh copy of {_ARCHIVE} from https://www.cs.toronto.edu/~kriz/cifar.html"
)


class DataError(ValueError):
    """CIFAR-100 cannot be had from where the reader pointed; the message says what to do."""


def load_cifar100(data_dir: str | os.PathLike | None = None) -> tuple[Split, Split]:
    """Load CIFAR-100 with its 100 fine labels.

    The first of these that is given is read, and only that one: `data_dir`, the environment
    variable `SMALLVIT_DATA`, Keras's own download.

    Args:
        data_dir: folder with `cifar-100-python/` (or that folder itself), with
            `cifar-100-python.tar.gz` or with `cifar100.npz` (arrays `x_train`, `y_train`, `x_test`
            and `y_test`), looked for in this order; or the path of such a `.tar.gz` or `.npz`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 `(N, 32, 32, 3)`, 0 to 255, red first;
        labels int64 `(N,)`, 0 to 99. The published set has 50,000 and 10,000 images; a local
        copy may hold fewer.

    Raises:
        DataError: if there is no copy there, or it is damaged, unsafe or of another form, or the
            download fails.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    if data_dir is None:
        data_dir = os.environ.get("SMALLVIT_DATA") or None
    if data_dir is None:
        return _download()
    path = _find(Path(data_dir).expanduser())
    if path.is_dir():
        return _read_folder(path)
    return _read_npz(path) if path.suffix == ".npz" else _read_archive(path)


def _find(path: Path) -> Path:
    """Find the copy that `path` is or holds: an unpacked folder, a .tar.gz or a .npz file."""
    if not path.exists():
        raise DataError(
            f"{path} does not exist; point data_dir or SMALLVIT_DATA at a folder that holds "
            f"{_EXPECTED}."
        )
    if path.is_file():
        if path.name.endswith((".tar.gz", ".npz")):
            return path
        raise DataError(
            f"{path} is neither a folder nor a .tar.gz or .npz file; point data_dir or "
            f"SMALLVIT_DATA at {_ARCHIVE}, {_NPZ} or the folder that holds one."
        )
    for folder in (path / _FOLDER, path):
        if all((folder / split).is_file() for split in _SPLITS):
            return folder
    for file in (path / _ARCHIVE, path / _NPZ):
        if file.is_file():
            return file
    raise DataError(
        f"{path} holds no whole CIFAR-100; expected {_EXPECTED} in it, so put one there or point "
        "data_dir or SMALLVIT_DATA elsewhere."
    )


def _download() -> tuple[Split, Split]:
    import keras  # Here, because it starts a backend that reading a local copy does not need.

    try:
        train, test = keras.datasets.cifar100.load_data()
    except Exception as error:  # Keras raises a bare Exception when it is offline.
        raise DataError(
            "Keras could not download CIFAR-100 (is this machine offline?); point data_dir or "
            f"SMALLVIT_DATA at a folder that holds {_EXPECTED}, or train on the synthetic set that "
            "smallvit.data.shapes.shapes100 paints."
        ) from error
    source = "Keras's copy of CIFAR-100"
    return _check(*train, (32, 32, 3), source), _check(*test, (32, 32, 3), source)


def _read_folder(folder: Path) -> tuple[Split, Split]:
    train, test = (
        _parse_batch((folder / split).read_bytes(), str(folder / split)) for split in _SPLITS
    )
    return train, test


def _read_archive(path: Path) -> tuple[Split, Split]:
    """Read both batches in memory: nothing is unpacked, so no member can land anywhere."""
    members, splits = [f"{_FOLDER}/{split}" for split in _SPLITS], {}
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                name = str(PurePosixPath(member.name))  # Without a leading "./".
                if member.isreg() and name in members:
                    content = archive.extractfile(member).read()
                    splits[name] = _parse_batch(content, f"{name} in {path}")
            stream.read()  # The checksum stands at the very end.
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is cut short or no gzipped tar archive; {_REMEDY}.") from error
    train, test = (_take(splits, name, str(path)) for name in members)
    return train, test


def _read_npz(path: Path) -> tuple[Split, Split]:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is cut short or no .npz file; save it again with numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except ValueError as error:
        raise DataError(
            f"{path} holds something other than plain arrays, and Python objects are never "
            "loaded; save uint8 images and integer labels with numpy.savez."
        ) from error
    except Exception as error:  # A damaged member can raise anything from zlib's to the parser's.
        raise DataError(f"{path} is damaged inside; save it again with numpy.savez.") from error
    train, test = (
        _check(
            _take(arrays, f"x_{split}", str(path)),
            _take(arrays, f"y_{split}", str(path)),
            (32, 32, 3),
            f"{split} in {path}",
        )
        for split in _SPLITS
    )
    return train, test


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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array


class _ArrayUnpickler(pickle.Unpickler):
    """Reads plain Python types and arrays of numbers, and refuses all else.

    NumPy trusts the flags that a pickled dtype claims, so a forged one makes it take raw bytes for
    the addresses of Python objects. That is why stand-ins read the arrays.
    """

    _STAND_INS: ClassVar = {
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledDtype,
        ("_codecs", "encode"): codecs.encode,  # How Python 3 writes bytes in protocol 2.
    }

    def __init__(self, content: bytes, source: str):
        # Python 2 wrote the published files: its strings, array contents too, are bytes.
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # NumPy 2 renamed it.
        if (module, name) not in self._STAND_INS:
            raise DataError(
                f"{self._source} asks for {f'{module}.{name}'!r}, which no file of CIFAR-100 "
                f"needs, so nothing of it was loaded; {_REMEDY}."
            )
        return self._STAND_INS[module, name]


def _parse_batch(content: bytes, source: str) -> Split:
    """Parse a published batch, whose rows hold 1,024 reds, then greens, then blues."""
    try:
        batch = _ArrayUnpickler(content, source).load()
    except DataError:
        raise
    except Exception as error:  # A damaged pickle can raise anything, says Python's manual.
        raise DataError(f"{source} is cut short or no pickle; {_REMEDY}.") from error
    if not isinstance(batch, dict):
        raise DataError(f"{source} holds a {type(batch).__name__} and not a dict; {_REMEDY}.")
    batch = {key.decode("latin-1") if isinstance(key, bytes) else key: batch[key] for key in batch}
    rows, labels = _take(batch, "data", source), _take(batch, "fine_labels", source)
    rows, labels = _check(rows, labels, (3 * 32 * 32,), source)
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _take(record: Mapping[str, Any], key: str, source: str) -> Any:
    if key not in record:
        raise DataError(f"{source} lacks {key!r}; {_REMEDY}.")
    return record[key]


def _check(images: Any, labels: Any, row_shape: tuple[int, ...], source: str) -> Split:
    """Return the images, and their labels flat in int64, if they can be CIFAR-100's."""
    try:
        images, labels = np.asarray(images), np.asarray(labels)
    except ValueError as error:
        raise DataError(f"{source} holds rows of unequal length; {_REMEDY}.") from error
    if images.dtype != np.uint8 or images.shape[1:] != row_shape or len(images) == 0:
        raise DataError(
            f"{source} holds images of type {images.dtype} and shape {images.shape}, where one or "
            f"more of type uint8 and shape {row_shape} belong; {_REMEDY}."
        )
    if labels.shape not in ((len(images),), (len(images), 1)):
        raise DataError(
            f"{source} holds {len(images)} images and labels of shape {labels.shape}, where "
            f"each image needs one label; {_REMEDY}."
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 99:
        raise DataError(
            f"{source} holds labels that are not whole numbers from 0 to 99; {_REMEDY}."
        )
    return images, labels.reshape(-1).astype(np.int64)
