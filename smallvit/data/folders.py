"""Read images from a folder that holds a folder of images for each class."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from smallvit.data.errors import DataError, one_sentence
from smallvit.layers.sizes import Size, to_pair

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
TEST_SHARE = 0.2
"""Share of each class's images that are kept for the test if there is no `test/`."""
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}


def read_image(path: str | Path, image_size: Size) -> np.ndarray:
    """Read one image, upright, cropped to its centre and resized.

    The crop has the proportions of `image_size` and is as large as fits. Edges that padding would
    add are something to learn from; what lies at the edge of a photograph is seldom its subject.

    Args:
        path: a file that Pillow reads. Transparent pixels become white, and grey images RGB; the
            orientation that a camera noted is applied.
        image_size: height and width to resize to, bilinearly and with antialiasing.

    Returns:
        uint8 array `(height, width, 3)`.

    Raises:
        DataError: if the file is not an image.
        OSError: if the file cannot be read.
    """
    height, width = to_pair(image_size, "image_size")
    try:
        with Image.open(path) as image:
            side = 2 * max(height, width)  # Of either axis: the photograph may lie on its side.
            image.draft("RGB", (side, side))  # Decodes large JPEGs at a smaller scale.
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # 16 bits per pixel, which `convert` would cut off.
                upright = Image.fromarray((np.asarray(upright) / 257).astype(np.uint8))
            fitted = ImageOps.fit(
                upright.convert("RGBA"), (width, height), Image.Resampling.BILINEAR
            )
    except Exception as error:  # A damaged file can raise anything, a decoder's errors too.
        if isinstance(error, MemoryError) or getattr(error, "errno", None):
            raise  # not the file's content: it may not exist
        raise DataError(
            f"{path} cannot be read as an image ({error}); replace it, or leave it out."
        ) from error
    white = Image.new("RGBA", fitted.size, "white")
    return np.array(Image.alpha_composite(white, fitted).convert("RGB"))


def load_folder(
    folder: str | Path, image_size: Size, seed: int = 0
) -> tuple[tuple[str, ...], tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load a folder of images in a folder per class.

    Args:
        folder: it holds a folder per class, or `train/` and `test/` that do. Images may lie deeper;
            hidden files and folders, and files that end otherwise than `SUFFIXES`, are passed over.
        image_size: height and width of the images that are returned, as `read_image` makes them.
        seed: draws the test images, `TEST_SHARE` of each class, if there is no `test/`, and the
            order of the training images.

    Returns:
        The classes' names, sorted; training images, uint8 `(n, height, width, 3)`, and labels,
        int64 `(n,)`, in random order; test images and labels, class by class.

    Raises:
        DataError: if it is not such a folder, or an image cannot be read.
    """
    folder = Path(folder).expanduser()
    with one_sentence(folder):
        names = _folders(folder)
        rng = np.random.default_rng(seed)
        splits = [name for name in names if name.lower() in _SPLITS]
        if set(names) == {"train", "test"}:
            train, test = _list_images(folder / "train"), _list_images(folder / "test")
            if train.keys() != test.keys():
                odd = ", ".join(sorted(train.keys() ^ test.keys()))
                raise DataError(
                    f"train/ and test/ in {folder} must hold folders of the same names; only one "
                    f"of them has {odd}."
                )
        elif len(splits) > 1 or (splits and splits == names):
            raise DataError(
                f"{folder} holds {', '.join(splits)}; expected train/ and test/ alone, or one "
                "folder per class, some images of which are then kept for the test."
            )
        else:
            train, test = {}, {}
            for name, files in _list_images(folder, least=2).items():
                order = rng.permutation(len(files))
                held_out = max(1, round(TEST_SHARE * len(files)))
                test[name] = [files[place] for place in sorted(order[:held_out])]
                train[name] = [files[place] for place in sorted(order[held_out:])]
        images, labels = _read(train, image_size)
        order = rng.permutation(len(images))
        return tuple(train), (images[order], labels[order]), _read(test, image_size)


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one that holds a folder per class.")
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _list_images(folder: Path, least: int = 1) -> dict[str, list[Path]]:
    """The image files of each class, all sorted by name."""
    names = _folders(folder)
    classes = {
        name: sorted(
            path
            for path in (folder / name).rglob("*")
            if path.suffix.lower() in SUFFIXES
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
        for name in names
    }
    if not any(classes.values()):
        raise DataError(
            f"{folder} holds no folders with images; expected a folder per class with files that "
            f"end in {', '.join(SUFFIXES)}."
        )
    if len(classes) == 1:
        raise DataError(f"{folder} holds one class, {names[0]}; a model needs two to tell apart.")
    for name, files in classes.items():
        if len(files) < least:
            raise DataError(
                f"{folder / name} holds {len(files)} images ({', '.join(SUFFIXES)}); a class needs "
                f"{least} or more: add some, or remove the folder."
            )
    return classes


def _read(classes: dict[str, list[Path]], image_size: Size) -> tuple[np.ndarray, np.ndarray]:
    images = [read_image(file, image_size) for files in classes.values() for file in files]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes.values()])
    return np.stack(images), labels
