import re
from xml.etree import ElementTree

import numpy as np
import pytest

from smallvit.book.drawings import PALETTE, Scale, draw_bars, draw_grid, panels

SVG = "{http://www.w3.org/2000/svg}"


def parse(markup):
    return ElementTree.fromstring(markup)


def filled(svg):
    """The colour of each filled cell, by `(row, column)`."""
    return {
        (int(y), int(x)): path.get("fill")
        for path in svg.iter(f"{SVG}path")
        for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", path.get("d"))
        if path.get("fill") not in (None, "none")
    }


def texts(svg):
    return [text.text for text in svg.iter(f"{SVG}text")]


def contrast(colour, letters):
    """WCAG's contrast of two colours."""

    def luminance(rgb):
        parts = [int(rgb[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(colour), luminance(letters)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_value_has_one_colour_and_what_lies_beyond_the_scale_has_that_of_its_end():
    scale = Scale(0, 2)
    assert scale.colour(3) == scale.colour(2) != scale.colour(0) == scale.colour(-1)


def test_a_scale_across_zero_has_two_hues_that_meet_there():
    scale = Scale(-1, 3)
    assert scale.colour(0) == Scale(0, 1).colour(0)
    red, _, blue = (int(scale.colour(-1)[n : n + 2], 16) for n in (1, 3, 5))
    assert red > blue
    red, _, blue = (int(scale.colour(3)[n : n + 2], 16) for n in (1, 3, 5))
    assert blue > red


@pytest.mark.parametrize("ends", [(-1, 1), (0, 1)])
def test_letters_are_legible_on_every_colour(ends):
    values = np.linspace(*ends, 65).reshape(1, -1)
    svg = parse(draw_grid(values, Scale(*ends), texts=np.full((1, 65), "x")))
    fills = filled(svg)
    letters = [t.get("fill") for t in svg.iter(f"{SVG}text") if t.text == "x"]
    for n, ink in enumerate(letters):
        assert contrast(fills[0, n], {"#000": "#000000", "#fff": "#ffffff"}[ink]) >= 4.5


def test_cells_are_filled_by_value_and_blank_without_one():
    scale = Scale(0, 1)
    fills = filled(parse(draw_grid(np.array([[0, 1, np.nan], [0.5, 1, 0]]), scale)))
    assert fills == {
        (0, 0): scale.colour(0),
        (0, 1): scale.colour(1),
        (1, 0): scale.colour(0.5),
        (1, 1): scale.colour(1),
        (1, 2): scale.colour(0),
    }


def test_the_colour_bar_is_labelled_and_the_same_for_all_values():
    drawings = [draw_grid(np.full((2, 2), x), Scale(-2, 6, "score")) for x in (0, 5)]
    for drawing in drawings:
        assert texts(parse(drawing))[-4:] == ["-2", "0", "6", "score"]
    bars = [[r.get("fill") for r in parse(d).iter(f"{SVG}rect")] for d in drawings]
    assert bars[0] == bars[1]
    assert len(bars[0]) == 32


def test_windows_have_a_colour_each_and_borders():
    windows = np.kron([[0, 1], [2, 3]], np.ones((2, 2), int))
    svg = parse(draw_grid(windows, windows=windows, texts=windows))
    assert all(fill == PALETTE[windows[place]] for place, fill in filled(svg).items())
    (border,) = [p for p in svg.iter(f"{SVG}path") if re.search(r"M\d \dv1", p.get("d"))]
    assert len(re.findall("v1", border.get("d"))) == len(re.findall("h1", border.get("d"))) == 12


@pytest.mark.parametrize(("value", "rims"), [(1.0, 0), (np.nan, 1)])
def test_borders_around_blank_cells_show_on_dark_pages(value, rims):
    windows = np.array([[0, 1]])
    drawing = draw_grid(np.array([[1, value]]), Scale(0, 1), windows=windows)
    assert drawing.count('stroke="#fff"') == rims


def test_masked_cells_are_hatched_and_nothing_else():
    masked = np.array([[False, True], [False, False]])
    svg = parse(draw_grid(np.zeros((2, 2)), Scale(0, 1), masked=masked))
    (hatch,) = [p.get("d") for p in svg.iter(f"{SVG}path") if "l1-1" in p.get("d")]
    assert re.findall(r"M\d \d", hatch) == ["M1 0"]


@pytest.mark.parametrize(
    ("marked", "box"),
    [
        ({"query": (1, 2)}, "M2 1h1v1h-1z"),
        ({"row": 1}, "M0 1h3v1h-3z"),
        ({"column": 2}, "M2 0h1v2h-1z"),
    ],
)
def test_query_row_and_column_are_outlined(marked, box):
    drawing = draw_grid(np.zeros((2, 3)), **marked)
    assert [p.get("stroke") for p in parse(drawing).iter(f"{SVG}path") if p.get("d") == box] == [
        "#000",
        "#fff",
    ]


def test_a_grid_that_can_be_picked_says_which_choice_it_sets():
    (rect,) = parse(draw_grid(np.zeros((2, 3)), pick="query", cell=40)).iter(f"{SVG}rect")
    assert rect.get("data-pick") == "query 2 3"
    assert (rect.get("width"), rect.get("height")) == ("120", "80")


def test_axes_are_named_and_numbered():
    svg = parse(draw_grid(np.zeros((2, 3)), axes=("query", "key"), title="scores"))
    assert texts(svg) == ["0", "1", "2", "0", "1", "key", "query", "scores"]


@pytest.mark.parametrize("shape", [(2, 2), (4, 4), (8, 8), (16, 16), (49, 49)])
def test_a_drawing_keeps_its_size_on_a_phone(shape):
    svg = parse(draw_grid(np.zeros(shape), Scale(0, 1), axes=("query", "key")))
    assert float(svg.get("width")) <= 326


def test_bars_are_as_tall_as_their_values():
    svg = parse(draw_bars(np.array([0.25, 1, 0]), Scale(0, 1, "weight"), height=100))
    rects = list(svg.iter(f"{SVG}rect"))
    assert [float(rect.get("height")) for rect in rects] == [25, 100, 0]
    assert len({float(r.get("y")) + float(r.get("height")) for r in rects}) == 1
    assert {r.get("stroke") for r in rects} == {"currentColor"}  # or a pale one would vanish
    assert texts(svg) == ["weight", "0", "0.5", "1", "0", "1", "2"]


def test_bars_below_zero_hang_from_it():
    svg = parse(draw_bars(np.array([-1, 2]), Scale(-2, 2), height=100, labels=["a", "b"]))
    down, up = svg.iter(f"{SVG}rect")
    assert float(down.get("y")) == float(up.get("y")) + float(up.get("height"))
    assert [float(r.get("height")) for r in (down, up)] == [25, 50]


def test_masked_bars_are_hatched_and_the_query_outlined():
    drawing = draw_bars(np.zeros(3), Scale(0, 1), masked=[False, False, True], query=1)
    assert re.findall(r"M(\d) 0m0 \.5l", drawing) == ["2"]
    assert len(re.findall(r'stroke="#(?:000|fff)"[^>]*d="M1 -', drawing)) == 2


def test_panels_are_one_picture():
    html = ElementTree.fromstring(panels("<svg/>", "<svg/>"))
    assert [child.tag for child in html] == ["svg", "svg"]
