"""Tests of `smallvit.data.folders` on folders of images that are drawn here."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw
from samples import RECORD, TINY, TINY_VIT

from smallvit.data.datasets import load_dataset
from smallvit.data.errors import DataError
from smallvit.data.folders import SUFFIXES, load_folder, read_image
from smallvit.training.loop import train
from smallvit.training.pretrained import load_run, predict

SIZES = [(40, 30), (30, 40), (64, 64), (17, 90)]  # width and height
COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (210, 50, 40)}


def draw(path, colour, size, rng):
    """A disc of about this colour on a grey background."""
    grey, colour = rng.integers(100, 160), rng.integers(-25, 25, 3) + colour
    image = Image.new("RGB", size, (int(grey),) * 3)
    (x, y), radius = np.array(size) / 2 + rng.uniform(-3, 3, 2), 0.4 * min(size)
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(box, tuple(int(c) for c in colour.clip(0, 255)))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def draw_folder(folder, counts, rng):
    for name, count in counts.items():
        for n in range(count):
            suffix = (".png", ".jpg", ".JPEG")[n % 3]
            colour = COLOURS.get(name, COLOURS["red"])
            draw(folder / name / f"{n:03}{suffix}", colour, SIZES[n % len(SIZES)], rng)


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """A folder of 300 images, without a test set of its own."""
    folder = tmp_path_factory.mktemp("photos") / "discs"
    draw_folder(folder, {"red": 120, "blue": 100, "green": 80}, np.random.default_rng(0))
    (folder / "notes.txt").write_text("not an image")
    (folder / ".cache").mkdir()
    (folder / "red" / ".hidden.png").write_bytes(b"nor this")
    return folder


def error_of(folder):
    """The message that loading fails with, which must be one line and one sentence."""
    with pytest.raises(DataError) as caught:
        load_dataset(folder, image_size=8)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and ". " not in message
    return message


# What is read


def test_a_folder_without_a_test_set_keeps_a_fifth_of_each_class(discs):
    dataset = load_dataset(str(discs), image_size=(8, 12))
    assert (dataset.name, dataset.classes) == ("folder:discs", ("blue", "green", "red"))
    assert not dataset.published and not dataset.synthetic
    (images, labels), (test_images, test_labels) = dataset.train, dataset.test
    assert images.shape == (240, 8, 12, 3) and test_images.shape == (60, 8, 12, 3)
    assert images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [80, 64, 96]
    assert np.bincount(test_labels).tolist() == [20, 16, 24]
    assert len(set(labels[-24:])) == 3  # in random order: the last ones are held out
    for label, channel in enumerate((2, 1, 0)):
        assert (images[labels == label, 4, 6].argmax(axis=-1) == channel).all()


def test_the_seed_draws_the_split(discs):
    same = [load_folder(discs, 8, seed)[1][0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(same[0], same[1])
    assert (same[0] != same[2]).any()


def test_train_and_test_folders_are_kept_apart(tmp_path, rng):
    draw_folder(tmp_path / "train", {"red": 4, "blue": 3}, rng)
    draw_folder(tmp_path / "test", {"red": 1, "blue": 2}, rng)
    dataset = load_dataset(tmp_path, image_size=8)
    assert dataset.classes == ("blue", "red")
    assert np.bincount(dataset.train[1]).tolist() == [3, 4]
    assert dataset.test[1].tolist() == [0, 0, 1]


def test_a_class_may_be_called_train(tmp_path, rng):
    for name in ("train", "bus"):
        for n in range(2):
            draw(tmp_path / name / f"{n}.png", COLOURS["red"], (20, 20), rng)
    assert load_dataset(tmp_path, image_size=8).classes == ("bus", "train")


def test_the_centre_is_cropped_and_keeps_its_proportions(tmp_path):
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, :30] = (255, 0, 0)  # cut off
    pixels[:, 70:] = (0, 0, 255)
    pixels[:20, 30:70] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png", 10)
    assert image.shape == (10, 10, 3)
    assert (image[:4, 1:-1] == 255).all() and (image[6:, 1:-1] == 0).all()
    tall = read_image(tmp_path / "wide.png", (8, 20))
    assert tall.shape == (8, 20, 3)
    assert (tall[:, :4] == (255, 0, 0)).all() and (tall[:, -4:] == (0, 0, 255)).all()


def test_a_large_image_is_averaged_and_not_sampled(tmp_path, rng):
    pixels = rng.integers(0, 2, (320, 320, 1), dtype=np.uint8).repeat(3, axis=2) * 255
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    assert np.abs(read_image(tmp_path / "noise.png", 8).astype(float) - 127.5).max() < 30


def test_a_photograph_that_lies_on_its_side_keeps_its_detail(tmp_path):
    stripes = np.zeros((3200, 400, 3), np.uint8)
    stripes[:, ::4] = stripes[:, 1::4] = 255
    note = Image.Exif()
    note[0x0112] = 6  # stored a quarter turn to the left
    Image.fromarray(np.rot90(stripes)).save(tmp_path / "photo.jpg", exif=note)
    Image.fromarray(stripes).save(tmp_path / "upright.jpg")
    lying, upright = (read_image(tmp_path / f"{n}.jpg", (8, 200)) for n in ("photo", "upright"))
    assert lying.std() > 0.9 * upright.std() > 50


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_come_upright(tmp_path, orientation):
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8, :8], upright[:8, 8:], upright[8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    # How the sensor stores what the note then turns back. Source: EXIF 2.32, tag 0x0112.
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    note = Image.Exif()
    note[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    stored.save(tmp_path / "photo.png", exif=note)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png", 16), upright)
    stored.resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / "photo.jpg", exif=note)
    read = read_image(tmp_path / "photo.jpg", 16).astype(int)
    assert np.abs(read - upright)[2::12, 2::12].max() < 40  # lossy


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path, mode):
    grey = Image.new("L", (8, 8), 255)
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 65535, np.uint16))
    else:
        image = grey.convert(mode if mode == "F" else "RGB").convert(mode)
    path = tmp_path / {"CMYK": "photo.jpg", "F": "photo.tiff"}.get(mode, "photo.png")
    image.save(path)
    assert (read_image(path, 4) >= 254).all()


def test_grey_of_16_bits_keeps_its_levels(tmp_path):
    Image.fromarray(np.full((8, 8), 32896, np.uint16)).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png", 4) == 128).all()


def test_transparent_pixels_are_white(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (200, 10, 20, 255)
    Image.fromarray(pixels).save(tmp_path / "sticker.png")
    image = read_image(tmp_path / "sticker.png", 8)
    assert (image[:4] == (200, 10, 20)).all() and (image[4:] == 255).all()


def test_a_folder_is_trained_on_evaluated_and_predicted_from(discs, tmp_path):
    recipe = dataclasses.replace(TINY, model=TINY_VIT, epochs=6, learning_rate=1e-2)
    dataset = load_dataset(discs, image_size=recipe.model.image_size)
    record = train(recipe, dataset, tmp_path)
    assert (record.dataset, record.comparable) == ("folder:discs", False)
    assert record.test["top1"] > 0.8

    record, model = load_run(tmp_path / "tiny" / "seed-0.json")
    for name in dataset.classes:
        draw(tmp_path / "new.jpg", COLOURS[name], (50, 70), np.random.default_rng(9))
        ranked = predict(record, model, tmp_path / "new.jpg")
        assert ranked[0][0] == name and sum(share for _, share in ranked) == pytest.approx(1)
    nameless = predict(dataclasses.replace(record, classes=[]), model, tmp_path / "new.jpg")
    assert [share for _, share in nameless] == [share for _, share in ranked]
    assert nameless[0][0] == f"class {dataset.classes.index(name)}"


def test_predictions_see_a_photograph_as_training_does(tmp_path):
    """Upright, cropped and not stretched: the sensor's rows run up the disc's stripes."""
    stripes = np.zeros((30, 60, 3), np.uint8)
    stripes[:, ::2] = 255
    note = Image.Exif()
    note[0x0112] = 6
    Image.fromarray(stripes).save(tmp_path / "photo.png", exif=note)
    seen = []

    def model(batch):
        seen.append(batch)
        return np.zeros((1, 2), "float32")

    predict(
        dataclasses.replace(RECORD, image_size=[8, 8], config=TINY.to_dict()),
        model,
        tmp_path / "photo.png",
    )
    expected = read_image(tmp_path / "photo.png", 8) / 255
    np.testing.assert_allclose(seen[0][0], expected, atol=1e-6)


# What is not


def test_not_a_folder(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")
    assert "photo.png is not a folder; expected" in error_of(tmp_path / "photo.png")


@pytest.mark.parametrize("name", ["shapes10", "CIFAR100", "no/such/folder"])
def test_a_name_that_is_neither_a_dataset_nor_a_folder(name):
    message = error_of(name)
    assert f"no dataset or folder '{name}'; choose cifar100, cifar10, shapes100 or" in message


def test_no_images(tmp_path):
    assert "holds no folders with images; expected a folder per class" in error_of(tmp_path)
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "cat.heic").write_bytes(b"")
    message = error_of(tmp_path)
    assert "holds no folders with images" in message and ", ".join(SUFFIXES) in message


def test_one_class(tmp_path, rng):
    draw_folder(tmp_path, {"red": 3}, rng)
    assert "holds one class, red; a model needs two" in error_of(tmp_path)


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_too_small_to_be_split(tmp_path, rng, count):
    draw_folder(tmp_path, {"red": 3, "green": count, "blue": 3}, rng)
    (tmp_path / "green").mkdir(exist_ok=True)
    assert f"green holds {count} images" in error_of(tmp_path)


def test_an_empty_class_of_the_test_set(tmp_path, rng):
    draw_folder(tmp_path / "train", {"red": 3, "blue": 3}, rng)
    draw_folder(tmp_path / "test", {"red": 3}, rng)
    (tmp_path / "test" / "blue").mkdir()
    assert "blue holds 0 images" in error_of(tmp_path)


def test_a_test_set_of_other_classes(tmp_path, rng):
    draw_folder(tmp_path / "train", {"red": 3, "blue": 3}, rng)
    draw_folder(tmp_path / "test", {"red": 3, "green": 3}, rng)
    message = error_of(tmp_path)
    assert "must hold folders of the same names; only one of them has blue, green" in message


@pytest.mark.parametrize(
    "names",
    [("train",), ("test",), ("train", "val"), ("val", "test", "train"), ("Train", "Test")],
)
def test_folders_that_split_otherwise(tmp_path, names, rng):
    for name in names:
        draw_folder(tmp_path / name, {"red": 3, "blue": 3}, rng)
    message = error_of(tmp_path)
    assert f"holds {', '.join(sorted(names))}; expected train/ and test/" in message


def test_a_third_folder_beside_train_and_test_is_no_class(tmp_path, rng):
    for name in ("train", "test", "unlabelled"):
        draw_folder(tmp_path / name, {"red": 3, "blue": 3}, rng)
    assert "holds test, train; expected train/ and test/ alone" in error_of(tmp_path)


def test_trains_may_be_a_class(tmp_path, rng):
    draw_folder(tmp_path, {"car": 3, "train": 3}, rng)
    assert load_folder(tmp_path, 8)[0] == ("car", "train")


@pytest.mark.parametrize("damage", ["empty", "text", "cut short"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_unreadable_image(tmp_path, rng, damage, suffix):
    draw_folder(tmp_path, {"red": 3, "blue": 3}, rng)
    bad = tmp_path / "red" / f"bad.{suffix}"
    draw(bad, COLOURS["red"], (200, 200), rng)
    content = {"empty": b"", "text": b"<html>", "cut short": bad.read_bytes()[:-200]}
    bad.write_bytes(content[damage])
    message = error_of(tmp_path)
    assert f"{bad} cannot be read as an image" in message
    assert "replace it, or leave it out" in message


def test_an_image_that_claims_gigapixels(tmp_path, rng):
    draw_folder(tmp_path, {"red": 3, "blue": 3}, rng)
    bad = tmp_path / "red" / "huge.bmp"
    Image.new("RGB", (4, 4)).save(bad)
    content = bytearray(bad.read_bytes())
    content[18:26] = (2**17).to_bytes(4, "little") * 2
    bad.write_bytes(content)
    assert f"{bad} cannot be read as an image" in error_of(tmp_path)


def test_folders_that_hide_in_a_class_are_passed_over(tmp_path, rng):
    draw_folder(tmp_path, {"red": 3, "blue": 3}, rng)
    draw_folder(tmp_path / "red", {".ipynb_checkpoints": 4}, rng)
    dataset = load_dataset(tmp_path, image_size=8)
    assert len(dataset.train[1]) + len(dataset.test[1]) == 6
