"""Tests of `smallvit.data.cifar` on tiny copies of CIFAR-100 in each form that it reads."""

import codecs
import contextlib
import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest

from smallvit.data import cifar
from smallvit.data.cifar import CIFAR10, CIFAR100, load_cifar, load_cifar100
from smallvit.data.errors import DataError

TRAIN, TEST = 12, 5


def make_rows(count):
    """Rows as published (reds, then greens, then blues) of random pixels, and labels."""
    rows = np.random.default_rng(count).integers(0, 256, (count, 3072), dtype=np.uint8)
    return rows, [int(label) for label in np.linspace(0, 99, count)]


def to_images(rows):
    """The slow and obvious way from published rows to channels-last images."""
    images = np.empty((len(rows), 32, 32, 3), np.uint8)
    for row in range(32):
        for column in range(32):
            for channel in range(3):
                images[:, row, column, channel] = rows[:, 1024 * channel + 32 * row + column]
    return images


def to_pickle(rows, labels, protocol=4):
    return pickle.dumps({b"data": rows, b"fine_labels": labels}, protocol)


def write_folder(path, train=None, test=None):
    folder = path / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(to_pickle(*make_rows(TRAIN)) if train is None else train)
    (folder / "test").write_bytes(to_pickle(*make_rows(TEST)) if test is None else test)
    return folder


def write_archive(path, members=None):
    """Write `{name: content}` as a tar archive; a `str` for content makes a symbolic link."""
    members = members or {
        "cifar-100-python/meta": b"not read",
        "cifar-100-python/train": to_pickle(*make_rows(TRAIN)),
        "cifar-100-python/test": to_pickle(*make_rows(TEST)),
    }
    file = path / "cifar-100-python.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file


def npz_arrays():
    arrays = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        rows, labels = make_rows(count)
        arrays |= {f"x_{split}": to_images(rows), f"y_{split}": np.array(labels)}
    return arrays


def write_npz(path, **changes):
    np.savez(path / "cifar100.npz", **(npz_arrays() | changes))
    return path / "cifar100.npz"


def assert_tiny(loaded):
    """The arrays are those of `make_rows`, pixel by pixel."""
    for (images, labels), count in zip(loaded, (TRAIN, TEST), strict=True):
        rows, expected = make_rows(count)
        assert images.dtype == np.uint8 and labels.dtype == np.int64
        np.testing.assert_array_equal(images, to_images(rows))
        np.testing.assert_array_equal(labels, expected)


def error_of(data_dir):
    """The message that loading fails with, which must be one line and one sentence."""
    with pytest.raises(DataError) as caught:
        load_cifar100(data_dir)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and ". " not in message
    return message


@pytest.fixture(autouse=True)
def no_other_source(monkeypatch):
    """No variable of the machine, and no network: Keras fails as it does offline."""

    def offline(**_):
        raise Exception("URL fetch failure on https://...: None -- [Errno -2] unknown host")

    monkeypatch.delenv("SMALLVIT_DATA", raising=False)
    monkeypatch.setattr(keras.utils, "get_file", offline)


@pytest.fixture
def publish(monkeypatch):
    """A function that makes an archive pass for the published one."""

    def publish(archive):
        md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        monkeypatch.setattr(cifar, "CIFAR100", dataclasses.replace(CIFAR100, md5=md5))

    return publish


# What can be read


@pytest.mark.parametrize("write", [write_folder, write_archive, write_npz])
def test_every_form_loads_from_its_folder_and_from_its_own_path(tmp_path, write, publish):
    own_path = write(tmp_path)
    if write is write_archive:
        publish(own_path)
    assert_tiny(load_cifar100(tmp_path))
    assert_tiny(load_cifar100(str(own_path)))


@pytest.mark.parametrize("protocol", range(5))
def test_pickles_of_every_protocol_that_python_writes_by_default(tmp_path, protocol):
    write_folder(tmp_path, train=to_pickle(*make_rows(TRAIN), protocol=protocol))
    assert_tiny(load_cifar100(tmp_path))


def test_keys_may_be_text_and_arrays_of_another_memory_order(tmp_path):
    rows, labels = make_rows(TRAIN)
    batch = {"data": np.asfortranarray(rows), "fine_labels": np.array(labels, ">i4")}
    write_folder(tmp_path, train=pickle.dumps(batch))
    assert_tiny(load_cifar100(tmp_path))


def test_batch_as_python_2_pickled_it(tmp_path):
    # Python 3 cannot write the opcodes of Python 2's strings, so this spells them out.
    def string(content):
        return b"T" + struct.pack("<i", len(content)) + content

    rows, labels = make_rows(TRAIN)
    dtype = (
        b"cnumpy\ndtype\n("
        + string(b"u1")
        + b"K\0K\1tR(K\3"
        + string(b"|")
        + b"NNN"
        + (b"J\xff\xff\xff\xff" * 2 + b"K\0tb")
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85"
        + string(b"b")
        + (b"tR(K\1" + b"K" + bytes([TRAIN]) + b"M\0\x0c\x86" + dtype + b"\x89")
        + string(rows.tobytes())
        + b"tb"
    )
    content = (
        b"\x80\2}("
        + string(b"data")
        + array
        + string(b"fine_labels")
        + b"]("
        + (b"".join(b"K" + bytes([label]) for label in labels) + b"eu.")
    )
    write_folder(tmp_path, train=content)
    assert_tiny(load_cifar100(tmp_path))


def test_labels_in_a_column_come_out_flat(tmp_path):
    write_npz(tmp_path, y_train=npz_arrays()["y_train"][:, np.newaxis])
    assert_tiny(load_cifar100(tmp_path))


def test_loaded_arrays_are_contiguous_and_writable(tmp_path):
    write_folder(tmp_path)
    for array in sum(load_cifar100(tmp_path), ()):
        assert array.flags.c_contiguous and array.flags.writeable


# Where it is looked for


def test_argument_comes_before_variable_and_variable_before_a_download(
    tmp_path, monkeypatch, publish
):
    for label, source in enumerate(("argument", "variable")):
        (tmp_path / source).mkdir()
        write_npz(tmp_path / source, y_test=np.full((TEST, 1), label))
    batch = to_pickle(make_rows(TEST)[0], [2] * TEST)
    archive = write_archive(
        tmp_path, {"cifar-100-python/train": batch, "cifar-100-python/test": batch}
    )
    publish(archive)
    asked = {}
    monkeypatch.setattr(keras.utils, "get_file", lambda **how: asked.update(how) or str(archive))

    def loaded_from(data_dir=None):
        labels = load_cifar100(data_dir)[1][1]
        assert labels.shape == (TEST,) and labels.dtype == np.int64
        return ("argument", "variable", "download")[labels[0]]

    assert loaded_from() == "download"
    assert asked["file_hash"] == cifar.CIFAR100.md5 and asked["origin"].endswith(CIFAR100.archive)
    monkeypatch.setenv("SMALLVIT_DATA", str(tmp_path / "variable"))
    assert loaded_from() == "variable"
    assert loaded_from(tmp_path / "argument") == "argument"
    monkeypatch.setenv("SMALLVIT_DATA", "")
    assert loaded_from() == "download"


def test_a_wrong_path_is_an_error_even_where_another_source_would_do(tmp_path, monkeypatch):
    write_npz(tmp_path)
    monkeypatch.setenv("SMALLVIT_DATA", str(tmp_path))
    assert "does not exist" in error_of(tmp_path / "elsewhere")


def test_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path)
    assert_tiny(load_cifar100("~/cifar100.npz"))


def test_offline_error_names_both_ways_out():
    message = error_of(None)
    for word in ("offline", "data_dir", "SMALLVIT_DATA", "cifar-100-python.tar.gz", "shapes100"):
        assert word in message


def test_offline_error_keeps_its_cause():
    with pytest.raises(DataError) as caught:
        load_cifar100()
    assert "URL fetch failure" in str(caught.value.__cause__)


def test_import_starts_no_backend():
    check = "import sys, smallvit.data.cifar; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


# What cannot be read


def test_missing_folder(tmp_path):
    message = error_of(tmp_path / "nowhere")
    assert "nowhere does not exist" in message and "SMALLVIT_DATA" in message


@pytest.mark.parametrize("present", [[], ["train"], ["test"]])
def test_folder_without_a_whole_copy(tmp_path, present):
    (tmp_path / "cifar-100-python").mkdir()
    for split in present:
        (tmp_path / "cifar-100-python" / split).write_bytes(to_pickle(*make_rows(TEST)))
    message = error_of(tmp_path)
    assert f"{tmp_path} holds no whole CIFAR-100" in message
    for form in ("train and test", "cifar-100-python.tar.gz", "cifar100.npz", "data_dir"):
        assert form in message


def test_file_of_another_kind(tmp_path):
    (tmp_path / "cifar.zip").write_bytes(b"")
    message = error_of(tmp_path / "cifar.zip")
    assert "cifar.zip holds no whole CIFAR-100; point data_dir" in message


@pytest.mark.parametrize("write", [write_archive, write_npz])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_file_cut_short(tmp_path, write, share):
    file = write(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    message = error_of(tmp_path)
    assert f"{file} is cut short" in message and ("fresh copy" in message or "savez" in message)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_pickle_cut_short(tmp_path, share):
    content = to_pickle(*make_rows(TRAIN))
    folder = write_folder(tmp_path, train=content[: int(share * len(content))])
    message = error_of(tmp_path)
    assert f"{folder / 'train'} is cut short" in message and "fresh copy" in message


def test_npz_damaged_inside(tmp_path):
    file = write_npz(tmp_path)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    assert f"{file} is cut short, damaged or" in error_of(tmp_path)


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_npz_without_a_key(tmp_path, key):
    arrays = npz_arrays()
    del arrays[key]
    np.savez(tmp_path / "cifar100.npz", **arrays)
    assert f"cifar100.npz lacks '{key}'" in error_of(tmp_path)


def test_npz_of_objects(tmp_path):
    write_npz(tmp_path, y_train=np.array([Bait(os.mkdir, str(tmp_path / "taken"))], object))
    assert "other than plain arrays" in error_of(tmp_path)
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize("key", ["data", "fine_labels"])
def test_pickle_without_a_key(tmp_path, key):
    rows, labels = make_rows(TEST)
    batch = {"data": rows, "fine_labels": labels}
    del batch[key]
    write_folder(tmp_path, test=pickle.dumps(batch))
    message = error_of(tmp_path)
    assert f"test lacks '{key}'" in message and "fresh copy" in message


def test_pickle_of_something_else(tmp_path):
    write_folder(tmp_path, test=pickle.dumps([1, 2, 3]))
    assert "test is cut short or no pickle of images and labels" in error_of(tmp_path)


ROWS, LABELS = make_rows(TEST)
UNFIT = "5 images without one label for each, a whole number from 0 to 99"


@pytest.mark.parametrize(
    ("rows", "labels", "complaint"),
    [
        (ROWS[:, :3071], LABELS, "images of type uint8 and shape (5, 3071)"),
        (ROWS.astype(np.float32), LABELS, "images of type float32"),
        (ROWS[:0], [], "images of type uint8 and shape (0, 3072)"),
        (ROWS[0], LABELS, "images of type uint8 and shape (3072,)"),
        (ROWS.tolist(), LABELS, "images of type list"),
        ("rows", LABELS, "images of type str"),
        ([[1], [2, 3]], LABELS, "images of type list"),
        (ROWS, LABELS[:4], UNFIT),
        (ROWS, [LABELS], UNFIT),
        (ROWS, 7, UNFIT),
        (ROWS, [0, 1, 2, 3, 100], UNFIT),
        (ROWS, [0, 1, 2, 3, -1], UNFIT),
        (ROWS, [0, 1, 2, 3, 4.0], UNFIT),
        (ROWS, [True] * 5, UNFIT),
        (ROWS, ["apple"] * 5, UNFIT),
    ],
)
def test_batch_of_another_form(tmp_path, rows, labels, complaint):
    folder = write_folder(tmp_path, test=to_pickle(rows, labels))
    message = error_of(tmp_path)
    assert f"{folder / 'test'} holds {complaint}" in message and "fresh copy" in message


def test_npz_passes_the_same_checks(tmp_path):
    write_npz(tmp_path, x_train=npz_arrays()["x_train"].transpose(0, 3, 1, 2))
    assert "train in" in error_of(tmp_path) and "shape (12, 3, 32, 32)" in error_of(tmp_path)


@pytest.fixture
def open_folder():
    """A folder that everybody may enter; pytest's are its user's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("write", [write_folder, write_archive, write_npz])
def test_files_that_may_not_be_read(open_folder, write):
    file = write(open_folder)
    file = file / "test" if file.is_dir() else file
    file.chmod(0)
    with as_nobody():
        message = error_of(open_folder)
    assert f"{file} cannot be read: permission denied; make it readable" in message


@contextlib.contextmanager
def as_nobody():
    """Without root's right to read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# What is too large


@pytest.fixture
def little_room(monkeypatch):
    """A limit of 64 KiB instead of 256 MiB, so that what is too large is quickly written."""
    monkeypatch.setattr(cifar, "_LIMIT", 2**16)


@contextlib.contextmanager
def little_memory():
    """At most 16 MiB at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    folder = write_folder(tmp_path)
    with (folder / "train").open("r+b") as file:
        file.truncate(2**40)  # sparse: it takes no room on the disk
    assert f"{folder / 'train'} holds more than 256 MiB" in error_of(tmp_path)


def test_an_npz_that_unpacks_to_too_much(tmp_path, little_room):
    np.savez_compressed(tmp_path / "cifar100.npz", **npz_arrays(), more=np.zeros(2**16, "uint8"))
    assert "cifar100.npz holds more than" in error_of(tmp_path)


@pytest.mark.parametrize(
    "claim",
    [
        b"\x8e" + (2**30).to_bytes(8, "little"),  # bytes of a gigabyte
        b"\x96" + (2**30).to_bytes(8, "little"),  # a bytearray of a gigabyte
        b"Nr" + (2**26).to_bytes(4, "little"),  # the place of a memo, in a table of a gigabyte
    ],
)
def test_a_pickle_that_claims_gigabytes_gets_none(tmp_path, claim):
    write_folder(tmp_path, train=b"\x80\5" + claim)
    with little_memory():
        assert "train is cut short or no pickle" in error_of(tmp_path)


def test_a_codec_that_doubles_what_it_is_given_is_refused(tmp_path):
    rows, labels = make_rows(TRAIN)
    batch = {"data": rows, "fine_labels": labels, "more": Bait(codecs.encode, b"a", "hex")}
    write_folder(tmp_path, train=pickle.dumps(batch, 2))
    assert "train is cut short or no pickle" in error_of(tmp_path)


def test_labels_nested_in_one_another_are_not_unfolded(tmp_path):
    labels = [1]
    for _ in range(7):
        labels = [labels] * 10
    write_folder(tmp_path, train=to_pickle(make_rows(10)[0], labels))
    with little_memory():
        assert "without one label for each" in error_of(tmp_path)


# CIFAR-10


def test_cifar10_in_all_three_forms(tmp_path):
    files = {}
    for number, name in enumerate([*CIFAR10.train, *CIFAR10.test]):
        rows, labels = make_rows(number + 2)
        files[name] = pickle.dumps({b"data": rows, b"labels": [n // 10 for n in labels]}, 2)
    folder, packed, npz = (tmp_path / name for name in ("folder", "packed", "npz"))
    (folder / CIFAR10.folder).mkdir(parents=True)
    for name, content in files.items():
        (folder / CIFAR10.folder / name).write_bytes(content)
    packed.mkdir()
    archive = write_archive(packed, {f"{CIFAR10.folder}/{k}": v for k, v in files.items()})
    archive = archive.rename(packed / CIFAR10.archive)
    form = dataclasses.replace(CIFAR10, md5=hashlib.md5(archive.read_bytes()).hexdigest())
    train, test, published = load_cifar(form, folder)
    assert (len(train[0]), len(test[0]), published) == (2 + 3 + 4 + 5 + 6, 7, False)
    expected = np.concatenate([to_images(make_rows(count)[0]) for count in range(2, 7)])
    np.testing.assert_array_equal(train[0], expected)
    assert train[1].tolist() == [n // 10 for count in range(2, 7) for n in make_rows(count)[1]]
    npz.mkdir()
    arrays = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    np.savez(npz / CIFAR10.npz, **arrays)
    for other in (packed, archive, npz):
        for mine, theirs in zip((*train, *test), sum(load_cifar(form, other)[:2], ()), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    checksums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    form = dataclasses.replace(
        form,
        train={name: checksums[name] for name in CIFAR10.train},
        test={name: checksums[name] for name in CIFAR10.test},
    )
    assert load_cifar(form, folder)[2] and load_cifar(form, archive)[2]
    assert not load_cifar(form, npz)[2]


def test_cifar10_with_the_labels_of_cifar100(tmp_path):
    write_npz(tmp_path).rename(tmp_path / "cifar10.npz")
    with pytest.raises(DataError, match="whole number from 0 to 9;"):
        load_cifar(CIFAR10, tmp_path)


# What must not run


class Bait:
    """Pickles as a call, which a careless reader makes while it loads."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("function", "argument"),
    [(os.system, "mkdir {}"), (os.mkdir, "{}"), (eval, "__import__('os').mkdir({!r})")],
)
def test_hostile_pickle_is_refused_and_not_run(tmp_path, function, argument, nested, protocol):
    taken = tmp_path / "taken"
    bait = Bait(function, argument.format(str(taken)))
    content = pickle.dumps({"data": ROWS, "fine_labels": [bait]} if nested else bait, protocol)
    write_folder(tmp_path, train=content)
    refused = "without one label for each" if nested else "no pickle of images and labels"
    assert refused in error_of(tmp_path)
    assert not taken.exists()
    pickle.loads(content)  # The bait does bite a careless reader.
    assert taken.exists()


@pytest.mark.parametrize(
    "path",
    ["numpy\nload", "numpy\nndarray.__class__", "numpy.core.multiarray\nfromfile", "a\nb\\n"],
)
def test_nothing_real_is_found(tmp_path, path):
    module, name = (part.encode() for part in path.split("\n"))
    parts = (b"\x8c" + bytes([len(part)]) + part for part in (module, name.replace(b"\\n", b"\n")))
    write_folder(tmp_path, train=b"\x80\4" + b"".join(parts) + b"\x93.")
    assert "no pickle of images and labels" in error_of(tmp_path)
    found = cifar._InertUnpickler(io.BytesIO((tmp_path / "cifar-100-python/train").read_bytes()))
    assert found.load().__module__ == "smallvit.data.cifar"


def test_forged_dtype_does_not_turn_bytes_into_objects(tmp_path):
    # With NumPy's own dtype these eight bytes an item are taken for addresses, and Python crashes.
    dtype = Bait(np.dtype, "O8", False, True)
    dtype.call += ((3, "|", None, None, None, -1, -1, 0),)
    array = Bait(ROWS.__reduce__()[0], np.ndarray, (0,), b"b")
    array.call += ((1, (5,), dtype, False, b"\1" * 40),)
    write_folder(tmp_path, train=to_pickle(array, array))
    assert "train is cut short or no pickle" in error_of(tmp_path)


def damaged(path):
    content = bytearray(write_archive(path).read_bytes())
    content[len(content) // 2] ^= 0xFF
    return content


def without_one_batch(path):
    # The tar inside is cut between two members, which tarfile takes for its end.
    file = write_archive(path)
    with tarfile.open(file) as archive:
        start_of_test = archive.getmember("cifar-100-python/test").offset
    return gzip.compress(gzip.decompress(file.read_bytes())[:start_of_test])


def hostile(path):
    bait = pickle.dumps(Bait(os.mkdir, str(path / "taken")))
    members = {"cifar-100-python/train": bait, "cifar-100-python/test": bait}
    return write_archive(path, members).read_bytes()


def of_zeros(path):
    return write_archive(path, {"cifar-100-python/train": bytes(2**24)}).read_bytes()


def claiming_terabytes(path):
    member = tarfile.TarInfo("cifar-100-python/train")
    member.size = 2**40
    return gzip.compress(member.tobuf(format=tarfile.GNU_FORMAT))


def sparse(path):
    member = tarfile.TarInfo("cifar-100-python/train")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(format=tarfile.GNU_FORMAT))
    header[483:495] = b"\x80" + (2**40).to_bytes(11, "big")  # the size when it is filled up
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + bytes(1024))


def of_other_paths(path):
    members = {f"{path}/taken": b"a", "cifar-100-python/../../taken": b"a", "../taken": b"a"}
    return write_archive(path, members).read_bytes()


def of_links(path):
    members = {"cifar-100-python/test": b"a", "cifar-100-python/train": "/etc/passwd"}
    return write_archive(path, members).read_bytes()


@pytest.mark.parametrize(
    "make",
    [
        *(damaged, without_one_batch, hostile, of_zeros),
        *(claiming_terabytes, sparse, of_other_paths, of_links),
    ],
)
def test_an_archive_that_is_not_the_published_one_is_not_even_opened(tmp_path, monkeypatch, make):
    home = tmp_path / "home"
    home.mkdir()
    file = home / "cifar-100-python.tar.gz"
    file.write_bytes(make(home))
    monkeypatch.setattr(tarfile, "open", None)
    message = error_of(home)
    assert f"{file} is cut short, or not the published archive; replace it with a fresh" in message
    assert sorted(tmp_path.rglob("*")) == [home, file]


def test_the_published_archive_is_known_by_its_checksum(tmp_path, publish):
    archive = write_archive(tmp_path)
    publish(archive)
    assert_tiny(load_cifar100(archive))
    archive.write_bytes(archive.read_bytes() + b"\0")
    assert "not the published archive" in error_of(archive)
