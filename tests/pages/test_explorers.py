"""Every interactive figure of every built page, moved by mouse, touch and keyboard."""

import json
import re

import pytest
from built import BUILT, HTML, OPEN_DETAILS, ROOT, read_toc

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
FIGURE = '<figure class="explorer"'
SMALLEST_TARGET = 24  # CSS pixels; WCAG 2.2, 2.5.8

LOOK = """figure => {
    const [pictures, captions] = [...figure.querySelectorAll('.explorer-stack')].map(stack =>
        [...stack.children].filter(child => child.checkVisibility({visibilityProperty: true})));
    return {pictures: pictures.map(x => x.innerHTML), captions: captions.map(x => x.innerText)};
}"""
# Go through all combinations: the figure's height in each, and the frames that were seen.
WALK = """figure => {
    const choices = [...figure.querySelectorAll('.explorer-choice')];
    const heights = new Set(), seen = new Set();
    const frames = [...figure.querySelectorAll('.explorer-frame')];
    const walk = depth => {
        if (depth === choices.length) {
            const shown = frames.filter(f => f.checkVisibility({visibilityProperty: true}));
            heights.add(Math.round(figure.getBoundingClientRect().height));
            seen.add(shown.map(frame => frames.indexOf(frame)).join());
            return;
        }
        const count = JSON.parse(choices[depth].dataset.labels).length;
        const inputs = choices[depth].querySelectorAll('input');
        for (let place = 0; place < count; place++) {
            if (inputs[0].type === 'range') inputs[0].value = place;
            else inputs[place].checked = true;
            inputs[0].dispatchEvent(new Event('input', {bubbles: true}));
            walk(depth + 1);
        }
    };
    walk(0);
    return {heights: heights.size, seen: seen.size, frames: frames.length};
}"""


class Choice:
    """One control of a figure, as a reader finds it."""

    def __init__(self, figure, control):
        self.control = control
        self.inputs = control.locator("input")
        self.count = len(json.loads(control.get_attribute("data-labels")))
        name = self.inputs.first.get_attribute("name")
        self.is_slider = self.inputs.first.get_attribute("type") == "range"
        self.drawn = figure.locator(f"[data-pick^='{name} ']").locator("visible=true")
        self.is_drawn = control.locator(".explorer-drawn").count() > 0
        self.columns = int(control.get_attribute("data-columns") or 0)

    @property
    def place(self):
        if self.is_slider:
            return int(self.inputs.first.input_value())
        return int(self.control.locator("input:checked").get_attribute("value"))

    def target(self, place):
        """Where to point at for a value: an element, a position in it, and the target's size."""
        if self.is_drawn:
            element = self.drawn.first
            box = element.bounding_box()
            wide = box["width"] / self.columns
            tall = box["height"] * self.columns / self.count
            row, column = divmod(place, self.columns)
            return element, ((column + 0.5) * wide, (row + 0.5) * tall), min(wide, tall)
        element = self.inputs.first if self.is_slider else self.inputs.nth(place)
        if self.control.locator(".explorer-options").count():
            element = self.control.locator(".explorer-options label").nth(place)
        box = element.bounding_box()
        x = 9 + place / (self.count - 1) * (box["width"] - 18) if self.is_slider else 5
        return element, (x, box["height"] / 2), box["height"]

    def point(self, place, how):
        element, (x, y), size = self.target(place)
        getattr(element, how)(position={"x": x, "y": y})
        return size

    def key_presses(self):
        """Keys to press, each of which changes the value, with the place it should lead to."""
        last = self.count - 1
        if self.is_slider:
            return [("End", last), ("Home", 0), ("ArrowRight", 1), ("ArrowLeft", 0)]
        steps = [("ArrowRight", 1), ("ArrowLeft", 0)]
        if self.columns and self.count > self.columns:
            steps += [("ArrowDown", self.columns), ("ArrowUp", 0)]
        return steps

    def press(self, key):
        self.control.page.keyboard.press(key)  # to what a click has left in focus


def with_figures():
    """The built pages that have a figure to move, or all documents if no page is built."""
    pages = {name: (HTML / name).with_suffix(".html").read_text() for name in BUILT}
    return [name for name, page in pages.items() if FIGURE in page] or read_toc()


@pytest.fixture(scope="module", params=with_figures())
def name(request):
    return request.param


def figures(visit):
    visit.page.evaluate(OPEN_DETAILS)
    for figure in visit.page.locator("figure.explorer").all():
        controls = figure.locator(".explorer-choice").all()
        assert controls
        yield figure, [Choice(figure, control) for control in controls]
    assert visit.errors == []


def move(figure, choice, place, act):
    """Act on a choice: it takes the value expected, and shows another frame and caption."""
    before = figure.evaluate(LOOK)
    acted = act()
    after = figure.evaluate(LOOK)
    assert choice.place == place
    assert [len(shown) for shown in after.values()] == [1, 1]
    assert after["captions"] != before["captions"]
    return acted


def test_every_frame_is_reached_and_the_figure_keeps_its_height(open_page, name):
    for options in ({}, PHONE):
        visit = open_page(name, **options)
        for figure, _ in figures(visit):
            walked = figure.evaluate(WALK)
            assert walked["heights"] == 1
            assert walked["seen"] == walked["frames"]
        visit.page.close()


def test_figures_answer_the_mouse(open_page, name):
    visit = open_page(name)
    for figure, choices in figures(visit):
        for choice in choices:
            pictures = {*figure.evaluate(LOOK)["pictures"]}
            for place in range(choice.count - 1, -1, -max(1, choice.count // 4)):
                if place != choice.place:
                    move(figure, choice, place, lambda c=choice, n=place: c.point(n, "click"))
                    pictures.update(figure.evaluate(LOOK)["pictures"])
            assert len(pictures) > 1
    visit.page.close()


def test_figures_answer_the_keyboard(open_page, name):
    visit = open_page(name)
    for figure, choices in figures(visit):
        for choice in choices:
            choice.point(0, "click")
            for key, place in choice.key_presses():
                if place != choice.place:
                    move(figure, choice, place, lambda c=choice, k=key: c.press(k))
    visit.page.close()


def test_figures_answer_a_finger(open_page, name):
    visit = open_page(name, **PHONE)
    for figure, choices in figures(visit):
        for choice in choices:
            for place in (choice.count - 1, 0):
                if place != choice.place:
                    act = lambda c=choice, n=place: c.point(n, "tap")  # noqa: E731
                    assert move(figure, choice, place, act) >= SMALLEST_TARGET
    visit.page.close()


@pytest.mark.parametrize("name", read_toc())
def test_a_page_has_all_its_figures(html, name):
    source = (ROOT / name).with_suffix(".md")
    if source.exists():
        expected = source.read_text().count("{hearing-figure}")
    else:
        cells = json.loads(source.with_suffix(".ipynb").read_text())["cells"]
        code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        expected = len(re.findall(r"(?<!def )\bexplore\(", code))
    assert (html / f"{name}.html").read_text().count(FIGURE) >= expected
