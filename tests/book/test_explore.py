from xml.etree import ElementTree

import matplotlib
import pytest

from smallvit.book.explore import explore

matplotlib.use("agg")


def draw(size, colour):
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="{colour}"><g id="{size}"/></svg>'


def caption(size, colour):
    return f"A {colour} one & {size}."


@pytest.fixture
def explorer():
    return explore(draw, caption, size=[1, 2, 3], colour=["red", "blue"])


def parse(html):
    return ElementTree.fromstring(html.replace(" hidden>", ' hidden="">'))


def test_every_combination_is_drawn_once_and_the_last_slider_moves_fastest(explorer):
    drawn = [(frame.split('id="')[1][0], "red" in frame) for frame in explorer.frames]
    expected = [(str(size), colour == "red") for size in (1, 2, 3) for colour in ("red", "blue")]
    assert drawn == expected


def test_the_page_shows_one_frame_and_hides_the_rest(explorer):
    frames = parse(explorer.to_html()).findall("div[@class='explorer-frame']")
    assert [frame.get("hidden") for frame in frames] == [None, "", "", "", "", ""]


def test_the_page_has_a_named_slider_for_each_choice(explorer):
    figure = parse(explorer.to_html())
    sliders = figure.findall("div/label/input")
    assert [(s.get("type"), s.get("min"), s.get("max")) for s in sliders] == [
        ("range", "0", "2"),
        ("range", "0", "1"),
    ]
    assert [span.text for span in figure.findall("div/label/span")] == ["size", "colour"]
    assert sliders[1].get("aria-valuetext") == "red"


def test_the_caption_is_also_the_alternative_text(explorer):
    frame = parse(explorer.to_html()).find("div[@class='explorer-frame']")
    picture, text = frame
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == text.text == "A red one & 1."


def test_on_a_live_kernel_the_sliders_change_the_picture(explorer):
    size, colour, picture = explorer.to_widget().children
    assert picture.value == explorer.frames[0]
    size.value = 2
    assert picture.value == explorer.frames[4]
    colour.value = 1
    assert picture.value == explorer.frames[5]
    assert (size.description, size.label, colour.label) == ("size", "3", "blue")


def test_a_notebook_gets_the_widget_and_the_page(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/html"] == explorer.to_html()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert bundle["text/plain"] == (
        "<Interactive figure: size from 1 to 3, colour from red to blue>"
    )


def test_matplotlib_figures_are_drawn_as_svg():
    from matplotlib import pyplot

    def plot(power):
        figure, axes = pyplot.subplots()
        axes.plot([n**power for n in range(4)])
        return figure

    open_before = pyplot.get_fignums()
    frames = explore(plot, lambda power: f"n to the {power}", power=[1, 2]).frames
    assert all(frame.startswith("<svg ") for frame in frames)
    assert frames[0] != frames[1]
    assert pyplot.get_fignums() == open_before


@pytest.mark.parametrize("choices", [{}, {"a": []}, {"a": range(11), "b": range(10)}])
def test_no_choice_and_too_many_are_refused(choices):
    with pytest.raises(ValueError, match="from 1 to 100 frames"):
        explore(draw, caption, **choices)
