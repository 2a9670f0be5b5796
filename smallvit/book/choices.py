"""What a reader can choose in an interactive figure, as HTML and as an ipywidget."""

import json
from collections.abc import Callable, Sequence
from html import escape
from itertools import product
from typing import Any


class Slider:
    """Quantities along a slider, which is what a plain sequence becomes.

    Args:
        values: what `draw` is called with, in order.
    """

    widget = "SelectionSlider"

    def __init__(self, values: Sequence[Any]):
        self.values = list(values)
        self.labels = [f"{x:g}" if isinstance(x, float) else str(x) for x in self.values]

    def to_html(self, name: str, place: int, drawn: bool) -> str:
        """Markup of the control, set to the value at `place`.

        Args:
            name: the argument of `draw` that it sets.
            place: where it starts.
            drawn: whether the pictures contain its tokens, ready to be clicked.
        """
        label = escape(self.labels[place])
        return self._wrap(
            "label",
            name,
            f'<input type="range" min="0" max="{len(self.values) - 1}" step="1" value="{place}" '
            f'aria-valuetext="{label}"/><output>{label}</output>',
        )

    def to_widget(self, name: str, place: int, pick: Callable[[int], None]) -> Any:
        """The control as an ipywidget that calls `pick` with the place of what was chosen."""
        import ipywidgets

        control = getattr(ipywidgets, self.widget)(
            options=[(label, n) for n, label in enumerate(self.labels)],
            value=place,
            description=spoken(name),
            style={"description_width": "initial"},
        )
        control.observe(lambda change: pick(change["new"]), "value")
        return control

    def _wrap(self, tag: str, name: str, content: str, attributes: str = "") -> str:
        return (
            f'<{tag} class="explorer-choice" data-labels="{escape(json.dumps(self.labels))}"'
            f'{attributes}><span class="explorer-name">{escape(spoken(name))}</span>'
            f"{content}</{tag}>"
        )

    def _radio(self, name: str, n: int, place: int, attributes: str = "") -> str:
        checked = ' checked=""' if n == place else ""
        return f'<input type="radio" name="{name}" value="{n}"{checked}{attributes}/>'


class Options(Slider):
    """Named options, as a row of buttons."""

    widget = "ToggleButtons"

    def to_html(self, name: str, place: int, drawn: bool) -> str:
        """Markup of a group of radio buttons."""
        buttons = "".join(
            f"<label>{self._radio(name, n, place)}<span>{escape(label)}</span></label>"
            for n, label in enumerate(self.labels)
        )
        group = f' role="radiogroup" aria-label="{escape(spoken(name))}"'
        return self._wrap("div", name, f'<span class="explorer-options">{buttons}</span>', group)


class Grid(Slider):
    """A token of a grid, picked by click, touch or arrow keys.

    `draw` and `caption` receive it as a pair `(row, column)`. If every picture contains the tokens
    (as `draw_grid(..., pick=NAME)` draws them), they are what the reader clicks; otherwise a
    small grid of buttons appears above the picture.
    """

    def __init__(self, rows: int, columns: int):
        super().__init__(product(range(rows), range(columns)))
        self.labels = [f"row {row}, column {column}" for row, column in self.values]
        self.columns = columns

    def to_html(self, name: str, place: int, drawn: bool) -> str:
        """Markup of a radio button per token, out of sight where the pictures have the tokens."""
        cells = "".join(
            self._radio(name, n, place, f' aria-label="{label}"')
            for n, label in enumerate(self.labels)
        )
        kind = "explorer-drawn" if drawn else "explorer-grid"
        hint = "click a token, or use the arrow keys"
        return self._wrap(
            "div",
            name,
            f'<span class="{kind}" style="grid-template-columns: repeat({self.columns}, '
            f'minmax(0, 2.5rem))" title="{hint}">{cells}{hint if drawn else ""}</span>'
            f"<output>{self.labels[place]}</output>",
            f' role="radiogroup" data-columns="{self.columns}" '
            f'aria-label="{escape(spoken(name))}, a token: {hint}"',
        )

    def to_widget(self, name: str, place: int, pick: Callable[[int], None]) -> Any:
        """A grid of buttons, the chosen one filled."""
        import ipywidgets

        size = ipywidgets.Layout(width="40px", height="40px", margin="1px")
        cells = [ipywidgets.Button(tooltip=label, layout=size) for label in self.labels]
        cells[place].button_style = "primary"

        def choose(chosen: Any) -> None:
            for cell in cells:
                cell.button_style = "primary" if cell is chosen else ""
            pick(cells.index(chosen))

        for cell in cells:
            cell.on_click(choose)
        layout = ipywidgets.Layout(grid_template_columns=f"repeat({self.columns}, 42px)")
        return ipywidgets.HBox(
            [ipywidgets.Label(spoken(name)), ipywidgets.GridBox(cells, layout=layout)]
        )


def options(*values: Any) -> Options:
    """Named options for `explore`, shown as a row of buttons."""
    return Options(values)


grid = Grid


def spoken(name: str) -> str:
    """A choice's name as the page shows it."""
    return name.replace("_", " ")
