import re
from xml.etree import ElementTree

import matplotlib
import pytest

from smallvit.book.drawings import once
from smallvit.book.explore import explore, grid, options

matplotlib.use("agg")


def draw(size, colour):
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="{colour}"><g id="{size}"/></svg>'


def caption(size, colour):
    return f"A {colour} one & {size}."


@pytest.fixture
def explorer():
    return explore(draw, caption, size=[1, 2, 3], colour=options("red", "blue"))


def shown(explorer):
    """Places of the visible pictures and captions in the page."""
    figure = ElementTree.fromstring(explorer.to_html())
    stacks = figure.findall("*[@class='explorer-stack']")
    return [
        [n for n, child in enumerate(stack) if "visibility: visible" in child.get("style")]
        for stack in stacks
    ]


def test_every_combination_is_drawn_once_and_the_last_choice_moves_fastest(explorer):
    drawn = [(picture.split('id="')[1][0], "red" in picture) for picture in explorer.pictures]
    expected = [(str(size), colour == "red") for size in (1, 2, 3) for colour in ("red", "blue")]
    assert drawn == expected
    assert explorer.captions[3] == "A blue one & 2."


def test_the_page_shows_one_picture_and_its_caption(explorer):
    assert shown(explorer) == [[0], [0]]


def test_a_figure_opens_where_it_is_told_to():
    start = {"colour": "blue", "size": 2}
    explorer = explore(draw, caption, start=start, size=[1, 2, 3], colour=options("red", "blue"))
    assert shown(explorer) == [[3], [3]]
    assert "A blue one &amp; 2." in explorer.to_widget().children[-1].value


@pytest.mark.parametrize("start", [{"size": 4}, {"shape": 1}])
def test_a_start_that_is_no_choice_is_refused(start):
    with pytest.raises(ValueError, match="is none of the choices"):
        explore(draw, caption, start=start, size=[1, 2], colour=["red"])


def test_the_caption_is_also_the_alternative_text(explorer):
    figure = ElementTree.fromstring(explorer.to_html())
    pictures, captions = figure.findall("*[@class='explorer-stack']")
    assert pictures[0][0].get("role") == "img"
    assert pictures[0][0].get("aria-label") == captions[0].text == "A red one & 1."
    assert captions.get("aria-live") == "polite"


def test_the_state_of_one_figure_is_not_that_of_another(explorer):
    """Radio buttons of one name exclude one another within a form."""
    form = ElementTree.fromstring(explorer.to_html()).find("form")
    assert form.get("onsubmit") == "return false"
    assert len(form.findall(".//input[@type='radio']")) == 2


def test_on_a_live_kernel_the_choices_change_the_picture():
    def name(query, colour):
        return f"{query} {colour}"

    size = {"query": grid(2, 2), "colour": options("red", "blue")}
    tokens, colour, picture = (
        explore(lambda query, colour: draw(query, colour), name, **size).to_widget().children
    )
    assert "(0, 0) red" in picture.value
    tokens.children[1].children[3].click()
    assert "(1, 1) red" in picture.value
    colour.value = 1
    assert "(1, 1) blue" in picture.value


def test_what_several_frames_show_is_stored_once():
    image = '<image width="2" height="2" href="data:image/png;base64,abc"/>'

    def picture(n):
        return f'<svg xmlns="http://www.w3.org/2000/svg">{image}{once("<path/>")}<g>{n}</g></svg>'

    explorer = explore(picture, lambda n: str(n), n=range(3))
    html = explorer.to_html()
    assert html.count("base64,abc") == html.count("<path/>") == 1
    figure = ElementTree.fromstring(html)
    kept = {element.get("id") for element in figure.find("svg")[0].iter() if element.get("id")}
    used = re.findall('<use href="#([^"]+)"/>', html)
    assert len(used) == 6
    assert set(used) == kept
    assert image in explorer.pictures[0], "a live kernel shows each frame alone"


def test_what_one_frame_shows_stays_there():
    explorer = explore(lambda n: f"<svg >{once(str(n))}</svg>", lambda n: str(n), n=range(3))
    assert "<use" not in explorer.to_html()


def test_a_heavy_figure_is_refused():
    with pytest.raises(ValueError, match=r"weighs 1\.2 MB"):
        explore(lambda n: f"<svg >{n}{'x' * 600_000}</svg>", lambda n: str(n), n=[1, 2])


def test_a_notebook_gets_the_widget_and_the_page(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/html"] == explorer.to_html()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert bundle["text/plain"] == "<Interactive figure: choose size, colour>"


def test_matplotlib_figures_are_drawn_as_svg():
    from matplotlib import pyplot

    def plot(power):
        figure, axes = pyplot.subplots()
        axes.plot([n**power for n in range(4)])
        return figure

    open_before = pyplot.get_fignums()
    frames = explore(plot, lambda power: f"n to the {power}", power=[1, 2]).pictures
    assert all(frame.startswith("<svg ") for frame in frames)
    assert frames[0] != frames[1]
    assert pyplot.get_fignums() == open_before


@pytest.mark.parametrize("choices", [{}, {"a": []}, {"a": range(21), "b": range(20)}])
def test_no_choice_and_too_many_are_refused(choices):
    with pytest.raises(ValueError, match="from 1 to 400 frames"):
        explore(draw, caption, **choices)
