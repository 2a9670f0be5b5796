from xml.etree import ElementTree

import pytest

from smallvit.book.choices import Grid, Options, Slider, grid, options


def parse(choice, name="some_name", place=0, drawn=False):
    return ElementTree.fromstring(choice.to_html(name, place, drawn))


def test_a_sequence_is_a_slider_that_speaks_its_values():
    control = parse(Slider(["low", "high"]), place=1)
    slider = control.find("input")
    assert [slider.get(x) for x in ("type", "min", "max", "value")] == ["range", "0", "1", "1"]
    assert slider.get("aria-valuetext") == control.find("output").text == "high"
    assert control.tag == "label"
    assert control.find("span").text == "some name"


def test_options_are_radio_buttons_with_their_names():
    control = parse(options("on", "off & out"), place=1)
    assert (control.get("role"), control.get("aria-label")) == ("radiogroup", "some name")
    labels = control.findall(".//label")
    assert [label.find("span").text for label in labels] == ["on", "off & out"]
    radios = [label.find("input") for label in labels]
    assert [radio.get("checked") for radio in radios] == [None, ""]
    assert {radio.get("name") for radio in radios} == {"some_name"}


def test_a_grid_has_a_named_radio_button_per_token():
    choice = grid(2, 3)
    assert choice.values == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    control = parse(choice, place=5)
    assert control.get("data-columns") == "3"
    radios = control.findall(".//input")
    assert [radio.get("value") for radio in radios if radio.get("checked") == ""] == ["5"]
    assert radios[4].get("aria-label") == "row 1, column 1"
    assert control.find("output").text == "row 1, column 2"


def test_tokens_that_the_pictures_contain_need_no_second_grid():
    assert parse(grid(2, 3)).find("span[@class='explorer-grid']") is not None
    drawn = parse(grid(2, 3), drawn=True)
    assert drawn.find("span[@class='explorer-grid']") is None
    assert len(drawn.findall(".//input")) == 6


@pytest.mark.parametrize("kind", [Slider, Options])
def test_a_widget_reports_the_place_of_what_was_chosen(kind):
    picked = []
    widget = kind(["a", "b", "c"]).to_widget("some_name", 1, picked.append)
    assert (widget.value, widget.description, widget.label) == (1, "some name", "b")
    widget.value = 2
    assert picked == [2]


def test_a_grid_of_buttons_marks_the_chosen_one():
    picked = []
    name, box = Grid(2, 2).to_widget("query", 0, picked.append).children
    assert name.value == "query"
    box.children[2].click()
    assert picked == [2]
    assert [button.button_style for button in box.children] == ["", "", "primary", ""]
    assert box.children[2].tooltip == "row 1, column 0"
