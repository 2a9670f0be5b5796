import base64
import io
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from smallvit.book import drawings

matplotlib.use("agg")
SVG = "{http://www.w3.org/2000/svg}"


def test_windows_are_drawn_where_they_should_be_with_their_numbers():
    windows = np.arange(8).reshape(2, 2, 2)
    svg = ElementTree.fromstring(drawings.draw_windows(windows, [(0, 0), (70, 5)], [0, 1]))
    groups = svg.findall(f"{SVG}g")
    assert [group.get("transform") for group in groups] == ["translate(0 0)", "translate(70 5)"]
    texts = [[text.text for text in group.findall(f"{SVG}text")] for group in groups]
    assert texts == [["0", "1", "2", "3"], ["4", "5", "6", "7"]]
    first, second = (group.find(f"{SVG}path").get("fill") for group in groups)
    assert first != second
    assert svg.get("viewBox") == "-2 -2 134 69"


def test_a_partition_is_drawn_window_by_window():
    grid = np.arange(16).reshape(4, 4)
    svg = ElementTree.fromstring(drawings.draw_partition(grid, 2, gap=10))
    first, second, third, _ = svg.findall(f"{SVG}g")
    assert [text.text for text in second.findall(f"{SVG}text")] == ["2", "3", "6", "7"]
    assert first.get("transform") == "translate(0 0)"
    assert second.get("transform") == "translate(70 0)"
    assert third.get("transform") == "translate(0 70)"


def test_a_partition_can_be_laid_out_in_one_row():
    svg = ElementTree.fromstring(drawings.draw_partition(np.zeros((4, 4), int), 2, columns=4))
    assert [group.get("transform") for group in svg.findall(f"{SVG}g")] == [
        f"translate({60 * n} 0)" for n in range(4)
    ]


def test_a_strip_is_one_row_of_numbers_in_their_colours():
    svg = ElementTree.fromstring(drawings.draw_strip(np.array([5, 3]), [0, 1]))
    groups = svg.findall(f"{SVG}g")
    assert [group.find(f"{SVG}text").text for group in groups] == ["5", "3"]
    fills = [group.find(f"{SVG}path").get("fill") for group in groups]
    assert fills == list(drawings.PALETTE[:2])


def test_neighbouring_windows_differ_in_colour():
    colours = np.array(drawings.colour_by_place(8, 8)).reshape(8, 8) % len(drawings.PALETTE)
    assert (colours[1:] != colours[:-1]).all()
    assert (colours[:, 1:] != colours[:, :-1]).all()


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_every_token_has_the_number_of_its_window(shift):
    height, width, size = 6, 9, 3
    numbers = drawings.window_numbers(height, width, size, shift)
    starts = [[0, *range(shift or size, side, size)] for side in (height, width)]
    for (i, j), number in np.ndenumerate(numbers):
        row, column = (
            sum(k >= start for start in s) - 1 for k, s in zip((i, j), starts, strict=True)
        )
        assert number == row * len(starts[1]) + column


def test_a_photo_is_cut_without_losing_a_pixel(rng):
    photo = np.kron(rng.integers(0, 256, (2, 2, 3)), np.ones((16, 16, 1))).astype("uint8")
    image = ElementTree.fromstring(drawings.draw_photo(photo, 16, gap=4)).find(f"{SVG}image")
    pixels = base64.b64decode(image.get("href").split(",")[1])
    canvas = np.asarray(Image.open(io.BytesIO(pixels)))
    assert canvas.shape == (36, 36, 4)
    assert (canvas[16:20, :, 3] == 0).all()
    assert (canvas[:16, :16, 3] == 255).all()
    difference = canvas[20:, 20:, :3].mean(axis=(0, 1)) - photo[16:, 16:].mean(axis=(0, 1))
    assert np.abs(difference).max() < 12  # the picture is stored with some loss


def test_coverage_writes_each_count_into_its_pixel_and_frames_the_middle():
    counts = np.zeros((6, 6), int)
    counts[1, 2], counts[1, 4], counts[5, 0] = 3, 1, 2
    drawing = drawings.draw_coverage(counts, 2, cell=10)
    svg = ElementTree.fromstring(drawing)
    texts = [(text.text, text.get("x"), text.get("y")) for text in svg.iter(f"{SVG}text")]
    assert texts == [("3", "25", "15"), ("1", "45", "15"), ("2", "5", "55")]
    fills = re.findall(r'fill="#(\w\w)\w{4}" d="(M\d \d)', drawing)
    order = [place for red, place in sorted(fills, key=lambda fill: -int(fill[0], 16))]
    assert order == ["M0 0", "M4 1", "M0 5", "M2 1"]  # zeros are palest
    assert drawing.count('d="M2 2h2v2h-2z"') == 2


def test_a_matplotlib_figure_takes_the_colour_of_the_text_and_is_the_same_each_time():
    def draw():
        figure, axes = drawings.subplots(2, 1)
        axes.plot([1, 2], [3, 4], label="a line")
        axes.legend()
        return drawings.figure_to_svg(figure)

    svg = draw()
    assert svg == draw()
    assert "#000000" not in svg
    assert "currentColor" in svg
    assert "a line</" in svg
    assert drawings.PALETTE[0] in svg


def test_a_chart_does_not_vanish_when_another_frame_with_its_clip_path_is_hidden():
    figure, axes = drawings.subplots(2, 1)
    axes.plot([1, 2], [3, 4])
    clips = [*ElementTree.fromstring(drawings.figure_to_svg(figure)).iter(f"{SVG}clipPath")]
    assert clips
    assert {clip.get("visibility") for clip in clips} == {"visible"}


def test_a_picture_tells_what_it_shows():
    picture = drawings.Picture('<svg viewBox="0 0 1 1"></svg>', alt='a "small" square')
    html = picture._repr_html_()
    assert html.startswith('<svg role="img" aria-label="a &quot;small&quot; square" ')
