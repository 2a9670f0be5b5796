"""Interactive figures that need no kernel: every frame is drawn beforehand.

In a built page, sliders are the browser's own and switch between the frames with one line of
script; no widget library is loaded, and the page works from disk. On a live kernel the same
figure is a set of ipywidgets, 7 or 8, and the kernel sends the frame.
"""

import json
from collections.abc import Callable, Sequence
from html import escape
from itertools import product
from typing import Any

from smallvit.book.drawings import figure_to_svg, with_alt

MAX_FRAMES = 100

# Sliders count in places; frames lie in the order of itertools.product.
_ON_INPUT = (
    "const figure = this.closest('figure'), sliders = [...figure.querySelectorAll('input')];"
    "const index = sliders.reduce((n, s) => n * (+s.max + 1) + +s.value, 0);"
    "const label = JSON.parse(this.dataset.labels)[+this.value];"
    "this.nextElementSibling.value = label; this.setAttribute('aria-valuetext', label);"
    "figure.querySelectorAll('.explorer-frame').forEach((f, i) => { f.hidden = i !== index; });"
)


def explore(
    draw: Callable[..., Any],
    caption: Callable[..., str],
    **choices: Sequence[Any],
) -> "Explorer":
    """Show a drawing that changes with sliders.

    Args:
        draw: called once for each combination of choices, by name; returns SVG markup or a
            Matplotlib figure.
        caption: called likewise; returns the sentence under the picture, which is also what
            screen readers are told of it.
        **choices: the values that each slider runs through, under the name of the argument;
            underscores are shown as spaces.

    Returns:
        A figure that a notebook shows as the last value of a cell.

    Raises:
        ValueError: if there is nothing to choose, or there are more than 100 combinations.
    """
    return Explorer(draw, caption, choices)


class Explorer:
    """What `explore` returns: all frames, and the two ways to show them.

    Attributes:
        choices: the values of each slider, by name.
        frames: the markup of each combination, the last slider changing fastest.
    """

    def __init__(self, draw: Callable, caption: Callable, choices: dict[str, Sequence[Any]]):
        self.choices = {name: list(values) for name, values in choices.items()}
        combinations = list(product(*self.choices.values()))
        if not choices or not 0 < len(combinations) <= MAX_FRAMES:
            raise ValueError(
                f"explore draws from 1 to {MAX_FRAMES} frames beforehand; "
                f"these choices make {len(combinations) if choices else 0}."
            )
        self.frames = []
        for values in combinations:
            chosen = dict(zip(self.choices, values, strict=True))
            self.frames.append(_frame(draw(**chosen), caption(**chosen)))

    def to_html(self) -> str:
        """The whole figure as HTML that works without a kernel and without a network."""
        sliders = "".join(_slider(name, values) for name, values in self.choices.items())
        frames = "".join(
            f'<div class="explorer-frame"{" hidden" if number else ""}>{frame}</div>'
            for number, frame in enumerate(self.frames)
        )
        return (
            f'<figure class="explorer"><div class="explorer-controls">{sliders}</div>'
            f"{frames}</figure>"
        )

    def to_widget(self) -> Any:
        """The figure as ipywidgets, for a live kernel."""
        import ipywidgets

        sliders = [
            ipywidgets.SelectionSlider(
                options=[(str(value), place) for place, value in enumerate(values)],
                value=0,
                description=_label(name),
                style={"description_width": "initial"},
            )
            for name, values in self.choices.items()
        ]
        picture = ipywidgets.HTML(self.frames[0])

        def show(_change: dict) -> None:
            index = 0
            for slider, values in zip(sliders, self.choices.values(), strict=True):
                index = index * len(values) + slider.value
            picture.value = self.frames[index]

        for slider in sliders:
            slider.observe(show, "value")
        return ipywidgets.VBox([*sliders, picture])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.to_widget().model_id}
        return {
            "text/plain": repr(self),
            "text/html": self.to_html(),
            "application/vnd.jupyter.widget-view+json": view,
        }

    def __repr__(self) -> str:
        sliders = ", ".join(
            f"{_label(name)} from {values[0]} to {values[-1]}"
            for name, values in self.choices.items()
        )
        return f"<Interactive figure: {sliders}>"


def _frame(drawing: Any, caption: str) -> str:
    svg = drawing if isinstance(drawing, str) else figure_to_svg(drawing)
    return f'{with_alt(svg, caption)}<p class="explorer-caption">{escape(caption)}</p>'


def _slider(name: str, values: Sequence[Any]) -> str:
    labels = [str(value) for value in values]
    return (
        f'<label><span class="explorer-name">{escape(_label(name))}</span> '
        f'<input type="range" min="0" max="{len(labels) - 1}" step="1" value="0" '
        f'autocomplete="off" aria-valuetext="{escape(labels[0])}" '
        f'data-labels="{escape(json.dumps(labels))}" oninput="{escape(_ON_INPUT)}"/> '
        f"<output>{escape(labels[0])}</output></label>"
    )


def _label(name: str) -> str:
    return name.replace("_", " ")
