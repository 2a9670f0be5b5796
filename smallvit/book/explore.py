"""Interactive figures that need no kernel: every frame is drawn in advance.

In a built page the controls are the browser's own, and a few lines of script switch between the
frames: no widget library is loaded, and the page works from disk. All frames lie on top of one
another, so the figure keeps the height of the tallest. On a live kernel the same figure is a set
of ipywidgets, 7 or 8, and the kernel sends the frame.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from html import escape
from itertools import product
from typing import Any

from smallvit.book.choices import Slider, grid, options, spoken
from smallvit.book.drawings import figure_to_svg, with_alt

__all__ = ["Explorer", "explore", "grid", "options"]

MAX_FRAMES = 400
MAX_BYTES = 1_000_000

_PART = re.compile(r'<image [^>]*href="data:[^>]*/>|<g class="once".*?</g>', re.DOTALL)

# Choices count in places; frames lie in the order of itertools.product.
_SHOW_FRAME = """let frame = 0;
for (const choice of this.querySelectorAll('.explorer-choice')) {
  const input = choice.querySelector('input:checked, input[type=range]');
  const labels = JSON.parse(choice.dataset.labels), output = choice.querySelector('output');
  frame = frame * labels.length + +input.value;
  if (output) output.value = labels[input.value];
  if (input.type === 'range') input.setAttribute('aria-valuetext', labels[input.value]);
}
for (const stack of this.querySelectorAll('.explorer-stack'))
  [...stack.children].forEach((child, i) => {
    child.style.visibility = i === frame ? 'visible' : 'hidden';
  });"""
# A click on a drawn grid, data-pick="name rows columns", chooses and focuses a radio button.
_PICK_TOKEN = """const drawn = event.target.closest('[data-pick]');
if (drawn) {
  const [name, rows, columns] = drawn.dataset.pick.split(' ');
  const box = drawn.getBoundingClientRect();
  const row = Math.floor((event.clientY - box.top) / box.height * rows);
  const column = Math.floor((event.clientX - box.left) / box.width * columns);
  const token = this.querySelector(`input[name=${name}][value='${row * columns + column}']`);
  if (token) { token.focus({preventScroll: true}); token.click(); }
}"""
# The browser steps through radio buttons one by one; in a grid, up and down skip a row.
_MOVE_IN_GRID = """const grid = event.target.closest('[data-columns]');
const columns = +grid?.dataset.columns;
const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[event.key];
if (grid && step) {
  event.preventDefault();
  const tokens = [...grid.querySelectorAll('input')];
  const next = tokens[tokens.indexOf(event.target) + step];
  if (next) { next.focus(); next.click(); }
}"""


class Explorer:
    """A drawing that changes with what the reader chooses; a notebook shows it.

    Args:
        draw: called once for each combination of choices, by name; returns SVG markup or a
            Matplotlib figure.
        caption: called likewise; returns the sentence under the picture, which is also its text
            alternative.
        start: the values to open with, by name; the first value of each choice by default.
        **choices: under the name of the argument, the values of a slider, `options(...)` or
            `grid(rows, columns)`; underscores are shown as spaces.

    Attributes:
        choices: a `Slider`, `Options` or `Grid` by name.
        start: the place of each choice that the figure opens with.
        pictures: the markup of each combination, the last choice changing fastest.
        captions: the sentence under each.

    Raises:
        ValueError: if there is nothing to choose, there are more than 400 combinations, `start`
            is not among them, or the figure weighs more than a megabyte.
    """

    def __init__(
        self,
        draw: Callable[..., Any],
        caption: Callable[..., str],
        start: Mapping[str, Any] | None = None,
        **choices: Slider | Sequence[Any],
    ):
        start = start or {}
        self.choices = {
            name: values if isinstance(values, Slider) else Slider(values)
            for name, values in choices.items()
        }
        combinations = list(product(*(choice.values for choice in self.choices.values())))
        if not choices or not 0 < len(combinations) <= MAX_FRAMES:
            raise ValueError(
                f"explore draws from 1 to {MAX_FRAMES} frames in advance; "
                f"these choices make {len(combinations) if choices else 0}."
            )
        for name, value in start.items():
            if name not in self.choices or value not in self.choices[name].values:
                raise ValueError(f"The start {name}={value!r} is none of the choices.")
        self.start = [
            choice.values.index(start[name]) if name in start else 0
            for name, choice in self.choices.items()
        ]
        self.pictures, self.captions = [], []
        for values in combinations:
            chosen = dict(zip(self.choices, values, strict=True))
            drawing, sentence = draw(**chosen), caption(**chosen)
            svg = drawing if isinstance(drawing, str) else figure_to_svg(drawing)
            self.pictures.append(with_alt(svg, sentence))
            self.captions.append(sentence)
        if (weight := len(self.to_html().encode())) > MAX_BYTES:
            raise ValueError(
                f"This figure weighs {weight / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:g}: "
                "draw fewer or simpler frames."
            )

    def to_html(self) -> str:
        """The whole figure as HTML that works without a kernel and without a network."""
        controls = "".join(
            choice.to_html(
                name, place, all(f'data-pick="{name} ' in picture for picture in self.pictures)
            )
            for (name, choice), place in zip(self.choices.items(), self.start, strict=True)
        )
        pictures, shared = _share_parts(self.pictures)
        captions = [escape(caption) for caption in self.captions]
        shown = self._frame(self.start)
        # A form of its own keeps the radio buttons of two figures apart.
        return (
            f'<figure class="explorer" oninput="{escape(_SHOW_FRAME)}" '
            f'onclick="{escape(_PICK_TOKEN)}" onkeydown="{escape(_MOVE_IN_GRID)}">'
            '<form class="explorer-controls" autocomplete="off" onsubmit="return false">'
            f"{controls}</form>{shared}"
            f'<div class="explorer-stack" style="display: grid">'
            f"{_stack('div', 'explorer-frame', pictures, shown)}</div>"
            '<figcaption class="explorer-stack" style="display: grid" aria-live="polite">'
            f"{_stack('p', 'explorer-caption', captions, shown)}</figcaption></figure>"
        )

    def to_widget(self) -> Any:
        """The figure as ipywidgets, for a live kernel."""
        import ipywidgets

        places = list(self.start)
        picture = ipywidgets.HTML()

        def show() -> None:
            frame = self._frame(places)
            picture.value = f"{self.pictures[frame]}<p>{escape(self.captions[frame])}</p>"

        def pick(number: int, place: int) -> None:
            places[number] = place
            show()

        show()
        controls = [
            choice.to_widget(name, places[n], lambda place, n=n: pick(n, place))
            for n, (name, choice) in enumerate(self.choices.items())
        ]
        return ipywidgets.VBox([*controls, picture])

    def _frame(self, places: Sequence[int]) -> int:
        frame = 0
        for choice, place in zip(self.choices.values(), places, strict=True):
            frame = frame * len(choice.values) + place
        return frame

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.to_widget().model_id}
        return {
            "text/plain": repr(self),
            "text/html": self.to_html(),
            "application/vnd.jupyter.widget-view+json": view,
        }

    def __repr__(self) -> str:
        return f"<Interactive figure: choose {', '.join(map(spoken, self.choices))}>"


explore = Explorer


def _stack(tag: str, name: str, contents: Sequence[str], shown: int) -> str:
    """Elements on top of one another, all but one invisible."""
    return "".join(
        f'<{tag} class="{name}" style="grid-area: 1 / 1; '
        f'visibility: {"visible" if number == shown else "hidden"}">{content}</{tag}>'
        for number, content in enumerate(contents)
    )


def _share_parts(pictures: Sequence[str]) -> tuple[list[str], str]:
    """Replace parts that occur more than once by references to one copy, also returned."""
    counts = Counter(part for picture in pictures for part in _PART.findall(picture))
    figure = sha256("".join(pictures).encode()).hexdigest()[:8]
    repeated = [part for part, count in counts.items() if count > 1]
    names = {part: f"part-{figure}-{n}" for n, part in enumerate(repeated)}
    if not names:
        return list(pictures), ""
    copies = "".join(part.replace(" ", f' id="{name}" ', 1) for part, name in names.items())
    refer = [
        _PART.sub(lambda m: f'<use href="#{names[m[0]]}"/>' if m[0] in names else m[0], picture)
        for picture in pictures
    ]
    drawing = '<svg width="0" height="0" style="position: absolute" aria-hidden="true">'
    return refer, f"{drawing}<defs>{copies}</defs></svg>"
