import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from smallvit.book import drawings

SVG = "{http://www.w3.org/2000/svg}"


def image_of(side, colour=(200, 40, 90)):
    return np.full((side, side, 3), colour, "uint8")


def places(svg):
    """Where each group begins, and how much it is enlarged."""
    transforms = [group.get("transform") for group in svg.findall(f"{SVG}g")]
    return [tuple(map(float, re.findall(r"[\d.]+", transform))) for transform in transforms]


def test_images_stand_in_rows_above_their_labels():
    svg = drawings.draw_images([image_of(8)] * 3, ["a", "b", "c & d"], columns=2, scale=4)
    svg = ElementTree.fromstring(svg)
    (x0, y0, scale), (x1, y1, _), (x2, y2, _) = places(svg)
    assert (x0, y0, scale) == (0, 0, 4)
    assert (x2, y1) == (0, 0)
    assert x1 > 32 and y2 > 32
    texts = svg.findall(f"{SVG}text")
    assert [text.text for text in texts] == ["a", "b", "c & d"]
    assert float(texts[0].get("x")) == 16
    assert 32 < float(texts[0].get("y")) < y2
    width, height = map(float, svg.get("viewBox").split()[2:])
    assert width == x1 + 32 + 4
    assert float(texts[2].get("y")) < height


def test_the_pixels_are_the_image_and_stay_sharp():
    svg = ElementTree.fromstring(drawings.draw_images([image_of(16)], ["an image"]))
    image = svg.find(f"{SVG}g/{SVG}image")
    assert "pixelated" in image.get("style")
    assert (image.get("width"), image.get("height")) == ("16", "16")
    stored = Image.open(io.BytesIO(base64.b64decode(image.get("href").split(",")[1])))
    difference = np.abs(np.asarray(stored).astype(int) - image_of(16))
    assert difference.max() < 8  # it is stored with some loss


def test_the_pixels_of_a_tiny_image_are_stored_without_loss():
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), "uint8")
    svg = ElementTree.fromstring(drawings.draw_images([image], ["a patch"]))
    href = svg.find(f"{SVG}g/{SVG}image").get("href")
    stored = Image.open(io.BytesIO(base64.b64decode(href.split(",")[1])))
    np.testing.assert_array_equal(np.asarray(stored), image)


def test_patches_are_bordered_numbered_outlined_and_picked():
    image = np.zeros((8, 24, 3), "uint8")
    svg = drawings.draw_patches(image, (4, 8), query=(1, 2), numbered=True, pick="token", width=240)
    svg = ElementTree.fromstring(svg)
    assert float(svg.get("width")) == 244
    assert places(svg) == [(10,)]
    assert [text.text for text in svg.iter(f"{SVG}text")] == list("012345")
    paths = [path.get("d") for path in svg.iter(f"{SVG}path")]
    assert paths[:2] == ["M0 0h24M0 4h24M0 8h24M0 0v8M8 0v8M16 0v8M24 0v8"] * 2
    assert paths[2:] == ["M16 4h8v4h-8z"] * 2
    (area,) = svg.iter(f"{SVG}rect")
    assert area.get("data-pick") == "token 2 3"
    assert (area.get("width"), area.get("height")) == ("24", "8")


def test_a_smaller_image_stands_above_the_middle_of_its_label():
    svg = ElementTree.fromstring(drawings.draw_images([image_of(8), image_of(4)], "ab", scale=2))
    (_, _, _), (x, y, _) = places(svg)
    assert y == 8
    assert x + 4 == float(svg.findall(f"{SVG}text")[1].get("x"))


def test_a_box_is_outlined_in_the_pixels_of_its_image():
    images, boxes = [image_of(8)] * 2, [(1, 2, 3, 4), None]
    svg = ElementTree.fromstring(drawings.draw_images(images, "ab", boxes=boxes))
    first, second = svg.findall(f"{SVG}g")
    assert {path.get("d") for path in first.findall(f"{SVG}path")} == {"M2 1h4v3h-4z"}
    assert second.find(f"{SVG}path") is None


def test_a_quincunx_has_one_photo_in_the_middle_and_the_same_square_in_each(rng):
    photos = rng.integers(0, 256, (5, 20, 30, 3)).astype("uint8")
    svg = ElementTree.fromstring(drawings.draw_quincunx(photos, list("abcde"), (6, 4, 10)))
    groups, labels = svg.findall(f"{SVG}g"), [t.text for t in svg.findall(f"{SVG}text")]
    by_label = dict(zip(labels, places(svg), strict=True))
    x, y, _ = by_label["a"]
    corners = [by_label[label][:2] for label in "bcde"]
    assert corners == [(0, 0), (2 * x, 0), (0, 2 * y), (2 * x, 2 * y)]
    assert all(group.find(f"{SVG}image").get("width") == "30" for group in groups)
    assert all("M4 6h10v10h-10z" in {p.get("d") for p in group} for group in groups)


def test_a_mixture_shows_three_images_and_a_bar_as_long_as_they_are_wide():
    svg = drawings.draw_mixture([image_of(8)] * 3, ["moon", "star"], share=0.25, scale=4)
    svg = ElementTree.fromstring(svg)
    assert len(svg.findall(f"{SVG}g/{SVG}image")) == 3
    first, second = svg.findall(f"{SVG}rect")
    width = float(svg.get("viewBox").split()[2]) - 4
    assert float(first.get("x")) == 0
    assert float(first.get("width")) == float(second.get("x")) == 0.25 * width
    assert float(first.get("width")) + float(second.get("width")) == width
    assert first.get("fill") != second.get("fill")
    assert [text.text for text in svg.findall(f"{SVG}text")] == ["moon 0.250", "star 0.750"]
