"""Grids of tokens, matrices and bars: numbers as colours on a scale that is fixed and labelled.

Cells filled by a scale are opaque and choose black or white letters themselves, so they look the
same on light and dark pages. A drawing is at most 320 pixels wide by default, so that it keeps its
size on a phone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smallvit.book.drawings.svg import INK, PALETTE, Box, once, outline, stroke, svg_document, text

WIDTH = 320
_PALE, _SKY, _BLUE, _ORANGE = map(
    np.array, ((244, 241, 230), (86, 180, 233), (8, 69, 148), (200, 82, 0))
)
_LINE = 22  # Room for a line of text, in pixels.
_HATCH = "m0 .5l.5-.5m-.5 1l1-1m-.5 1l.5-.5"


@dataclass(frozen=True)
class Scale:
    """What a colour means: the same in all frames of a figure.

    Values from `low` to 0 are orange, from 0 to `high` blue, the paler the nearer to 0. A scale
    that does not cross 0 runs from pale (`low`) to blue (`high`). Values beyond are clipped.

    Args:
        low: value at the left end of the colour bar.
        high: value at its right end.
        label: what the values are, with their unit.

    Raises:
        ValueError: if `low` is not less than `high`.
    """

    low: float
    high: float
    label: str = ""

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"low must be less than high; got {self.low} and {self.high}.")

    def colour(self, value: float) -> str:
        """The colour of a value, as `#rrggbb`."""
        value = np.clip(value, self.low, self.high)
        if self.low < 0 < self.high:
            strength = value / self.high if value > 0 else value / self.low
        else:
            strength = (value - self.low) / (self.high - self.low)
        strength = round(32 * strength) / 32
        if value < 0 < self.high:
            rgb = _PALE + strength * (_ORANGE - _PALE)
        elif strength < 0.5:
            rgb = _PALE + 2 * strength * (_SKY - _PALE)
        else:
            rgb = _SKY + (2 * strength - 1) * (_BLUE - _SKY)
        return "#" + "".join(f"{round(part):02x}" for part in rgb)

    def ink(self, value: float) -> str:
        """Black or white, whichever contrasts with the colour of a value."""
        colour = self.colour(value)
        parts = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return "#000" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "#fff"

    @property
    def ticks(self) -> list[float]:
        """The numbers on the colour bar: its ends, and 0 or the middle."""
        middle = 0 if self.low < 0 < self.high else (self.low + self.high) / 2
        return [self.low, middle, self.high]


def draw_grid(
    values: np.ndarray,
    scale: Scale | None = None,
    *,
    texts: np.ndarray | None = None,
    windows: np.ndarray | None = None,
    masked: np.ndarray | None = None,
    query: tuple[int, int] | None = None,
    row: int | None = None,
    column: int | None = None,
    boxes: Sequence[Box] = (),
    axes: tuple[str, str] | None = None,
    title: str = "",
    pick: str | None = None,
    cell: float | None = None,
) -> str:
    """Draw a grid of tokens, or a matrix, cell by cell.

    Args:
        values: numbers `(rows, columns)`; NaN is left blank.
        scale: turns values into colours; one with a label is drawn below as a colour bar. Without
            a scale, cells are filled by window only.
        texts: what is written into the cells, `(rows, columns)` of anything `str` takes.
        windows: integers `(rows, columns)`: cells of one number share a window, which has a border
            and, without a `scale`, a colour of its own.
        masked: booleans `(rows, columns)`; these cells are hatched.
        query: `(row, column)` of the token to outline.
        row: a row of the matrix to outline.
        column: a column of the matrix to outline.
        boxes: `(top, left, height, width)` of other rectangles to outline, in cells.
        axes: what the rows and what the columns are; both are then numbered.
        title: written above.
        pick: name of the `grid` choice of `explore` that a click on a cell sets.
        cell: side of a cell, in pixels; by default 40, or less to fit into 320 pixels.
    """
    rows, columns = values.shape
    left, top = (2 * _LINE if axes else 0), _LINE * (bool(title) + 2 * bool(axes))
    cell = cell or min(40, (WIDTH - left) / columns)
    places = list(np.ndindex(rows, columns))
    fills, inks = {}, {}
    if scale is not None:
        fills = {p: scale.colour(values[p]) for p in places if not np.isnan(values[p])}
        inks = {p: scale.ink(values[p]) for p in fills}
    elif windows is not None:
        fills = {p: PALETTE[windows[p] % len(PALETTE)] for p in places}
    of_colour = defaultdict(list)
    for place, colour in fills.items():
        of_colour[colour].append(place)
    opacity, ink = (1, "#000") if scale is not None else (0.4, INK)
    cells = "".join(
        f'<path fill="{colour}" d="{_squares(there)}"/>' for colour, there in of_colour.items()
    )
    lines = _squares([p for p in places if p not in fills]) + "".join(
        [f"M0 {i}h{columns}" for i in range(rows + 1)]
        + [f"M{j} 0v{rows}" for j in range(columns + 1)]
    )
    cells += stroke(lines, INK, 0.5 / cell, ' stroke-opacity=".5"')
    enlarged = f'transform="scale({cell:g})"'
    parts = [once(cells, f'{enlarged} fill-opacity="{opacity}"')]
    lines = ""
    if masked is not None:
        hatched = "".join(f"M{j} {i}{_HATCH}" for i, j in np.argwhere(masked))
        lines += stroke(hatched, ink, 1 / cell, ' stroke-opacity=".5"')
    if windows is not None:
        borders = _borders(windows)
        # Around blank cells the page shows, and black needs a white rim if that is dark.
        rim = stroke(borders, "#fff", 4.5 / cell) if scale and len(fills) < len(places) else ""
        lines += rim + stroke(borders, ink, 2.5 / cell)
    parts.append(once(lines, enlarged))
    boxes = list(boxes)
    boxes += [] if query is None else [(*query, 1, 1)]
    boxes += [] if row is None else [(row, 0, 1, columns)]
    boxes += [] if column is None else [(0, column, rows, 1)]
    marks = "".join(outline(x, y, wide, high, 1 / cell) for y, x, high, wide in boxes)
    parts.append(f"<g {enlarged}>{marks}</g>")
    if texts is not None:
        longest = max((len(str(x)) for x in texts.flat if x is not None), default=1)
        letters = "".join(
            text((j + 0.5) * cell, (i + 0.5) * cell, texts[i, j], inks.get((i, j), INK))
            for i, j in places
            if texts[i, j] is not None
        )
        parts.append(once(letters, f'font-size="{min(14, 1.5 * cell / max(longest, 2)):.3g}"'))
    right, down = columns * cell, rows * cell
    if axes:
        parts.append(_number_axes(axes, rows, columns, cell))
    if title:
        parts.append(text(right / 2, _LINE / 2 - top, title))
    has_bar = scale is not None and bool(scale.label)
    if has_bar:
        parts.append(_colour_bar(scale, down + 8, right))
    if pick:
        parts.append(
            f'<rect width="{right:g}" height="{down:g}" fill="transparent" '
            f'style="cursor: pointer" data-pick="{pick} {rows} {columns}"/>'
        )
    content = f'<g transform="translate({left} {top})">{"".join(parts)}</g>'
    below = has_bar * (8 + 3 * _LINE)
    return svg_document(content, left + right, top + down + below)


def draw_bars(
    values: np.ndarray,
    scale: Scale,
    *,
    labels: Sequence[str] | None = None,
    masked: Sequence[bool] | None = None,
    query: int | None = None,
    title: str = "",
    width: float = WIDTH,
    height: float = 120,
) -> str:
    """Draw numbers as bars in a row, a softmax's weights for one.

    Args:
        values: numbers `(n,)`.
        scale: the ends of the vertical axis, its label, and the bars' colours.
        labels: what is written under the bars; their places by default.
        masked: booleans `(n,)`; the feet of these bars are hatched.
        query: place of the bar to outline.
        title: written above.
        width: of the drawing, in pixels.
        height: of the tallest bar that fits, in pixels.
    """
    left, top, step = 44, _LINE * (1 + bool(title)), (width - 44) / len(values)

    def level(value: float) -> float:
        part = (np.clip(value, scale.low, scale.high) - scale.low) / (scale.high - scale.low)
        return top + height * (1 - part)

    axis = [text(left, _LINE * (0.5 + bool(title)), scale.label, anchor="start")]
    for tick in scale.ticks:
        axis.append(stroke(f"M{left} {level(tick):g}H{width:g}", INK, 0.5))
        axis.append(text(left - 6, level(tick), f"{tick:g}", anchor="end"))
    if title:
        axis.append(text((left + width) / 2, _LINE / 2, title))
    labels = range(len(values)) if labels is None else labels
    size = min(13, 1.5 * step / max(2, *(len(str(label)) for label in labels)))
    below = top + height + _LINE / 2
    names = [text(left + (n + 0.5) * step, below, label) for n, label in enumerate(labels)]
    parts = [once("".join(axis)), once("".join(names), f'font-size="{size:.3g}"')]
    zero = level(0)
    for n, value in enumerate(values):
        y, tall = min(zero, level(value)), abs(zero - level(value))
        parts.append(
            f'<rect x="{left + (n + 0.1) * step:.4g}" y="{y:.4g}" width="{0.8 * step:.4g}" '
            f'height="{tall:.4g}" fill="{scale.colour(value)}" stroke="{INK}" stroke-width=".5"/>'
        )
    marks = ""
    if masked is not None:
        marks += stroke("".join(f"M{n} 0{_HATCH}" for n in np.flatnonzero(masked)), INK, 1 / step)
    if query is not None:
        marks += outline(query, 1 - height / step, 1, height / step, 1 / step)
    foot = top + height - step
    parts.append(f'<g transform="translate({left} {foot:.4g}) scale({step:.4g})">{marks}</g>')
    return svg_document("".join(parts), width, top + height + _LINE)


def _squares(places: Sequence[tuple[int, int]]) -> str:
    return "".join(f"M{j} {i}h1v1h-1z" for i, j in places)


def _borders(windows: np.ndarray) -> str:
    """Lines between cells of different windows, and around the grid."""
    wide = np.pad(windows, 1, constant_values=-1)
    beside, below = wide[1:-1, 1:] != wide[1:-1, :-1], wide[1:, 1:-1] != wide[:-1, 1:-1]
    lines = [f"M{j} {i}v1" for i, j in np.argwhere(beside)]
    return "".join([*lines, *(f"M{j} {i}h1" for i, j in np.argwhere(below))])


def _number_axes(axes: tuple[str, str], rows: int, columns: int, cell: float) -> str:
    every = int(np.ceil(14 / cell))
    numbers = [text((j + 0.5) * cell, -_LINE / 2, j) for j in range(0, columns, every)]
    numbers += [text(-_LINE / 2, (i + 0.5) * cell, i) for i in range(0, rows, every)]
    down, across = axes
    away = -1.5 * _LINE
    numbers.append(text(columns * cell / 2, away, across))
    turned = text(-rows * cell / 2, away, down).replace("<text", '<text transform="rotate(-90)"')
    return once("".join(numbers) + turned, 'font-size="12"')


def _colour_bar(scale: Scale, top: float, width: float) -> str:
    steps, span = 32, scale.high - scale.low
    parts = [
        f'<rect x="{n * width / steps:.4g}" y="{top:g}" width="{width / steps + 0.3:.3g}" '
        f'height="12" fill="{scale.colour(scale.low + (n + 0.5) / steps * span)}"/>'
        for n in range(steps)
    ]
    for tick, anchor in zip(scale.ticks, ("start", "middle", "end"), strict=True):
        x = (tick - scale.low) / span * width
        parts.append(text(x, top + 12 + _LINE / 2, f"{tick:g}", anchor=anchor))
    return once("".join(parts) + text(width / 2, top + 12 + 1.4 * _LINE, scale.label))
