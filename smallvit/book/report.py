"""What the records say, beside what was published: tables and curves for the book."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import mean, stdev, variance
from typing import Any

from smallvit.book.drawings import subplots
from smallvit.training.callbacks import tell_time
from smallvit.training.recipes import Recipe
from smallvit.training.records import Record, read_results, results_folder

NOT_RUN = "not run yet"
UNFINISHED = "not finished yet"
TOPS = ("top1", "top5")
TEST_IMAGES = 10_000  # of CIFAR-100; only runs on its published images are compared

COLUMNS = (
    "recipe",
    "published top-1 / top-5",
    "ours, top-1 / top-5",
    "difference",
    "parameters",
    "seeds",
    "time",
    "device",
)
PROGRESS_COLUMNS = ("recipe", "seed", "epochs", "ours", "published", "difference", "time")


def recorded(name: str) -> list[Record]:
    """The records of a recipe, unfinished ones included."""
    return read_results(results_folder()).get(name, [])


def published_curve(name: str, figure: str = "val_top1") -> list[float]:
    """`"val_top1"`, `"val_loss"` or `"train_top1"` by epoch; empty if the source lacks it."""
    curves = json.loads((results_folder() / "published_curves.json").read_text(encoding="utf-8"))
    return curves[figure].get(name, [])


def draw_curves(curves: Mapping[str, Sequence[float]], ylabel: str = "validation top-1, %") -> Any:
    """Draw curves by epoch.

    Args:
        curves: fractions of 1 after each epoch, by their names in the legend. Empty ones are left
            out.
        ylabel: what the curves show.

    Returns:
        A Matplotlib figure.
    """
    figure, axes = subplots(4.4, 3)  # letters that a phone shows at 10 pixels
    for name, values in curves.items():
        if len(values):
            epochs = range(1, len(values) + 1)
            percent = [100 * value for value in values]
            axes.plot(epochs, percent, label=name, marker="." if len(values) < 8 else None)
    axes.set(xlabel="epoch", ylabel=ylabel)
    if axes.lines:
        axes.legend(frameon=False, loc="lower right")  # accuracies rise
    return figure


@dataclass(frozen=True)
class Table:
    """A table that shows itself in a notebook.

    Args:
        columns: their headings.
        rows: a text per column; what is between backticks is code.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def select(self, *columns: str) -> "Table":
        """The table with these columns alone, in this order."""
        places = [self.columns.index(name) for name in columns]
        return Table(columns, [[row[place] for place in places] for row in self.rows])

    def _repr_html_(self) -> str:
        unbroken = (_to_html(text).replace("-", "\N{NON-BREAKING HYPHEN}") for text in self.columns)
        head = "".join(f'<th scope="col">{text}</th>' for text in unbroken)
        body = "".join(
            "<tr>" + "".join(f"<td>{_to_html(text)}</td>" for text in row) + "</tr>"
            for row in self.rows
        )
        return (
            '<div style="overflow-x: auto" tabindex="0" role="region" aria-label="Table">'
            f'<table class="table figures"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def __repr__(self) -> str:
        return "\n".join(" | ".join(row) for row in (self.columns, *self.rows))


def results_table(recipes: Iterable[Recipe], records: Mapping[str, Sequence[Record]]) -> Table:
    """Published figures beside ours, a row per recipe.

    Args:
        recipes: what to report, in this order.
        records: as `read_results` gives them. Only comparable runs count; how far others came is
            reported, or that they may not be compared.
    """
    rows = []
    for recipe in recipes:
        runs = records.get(recipe.name, [])
        done = _comparable(runs)
        ours, difference, *rest = _measured(recipe, done) if done else _begun(runs)
        named = (f"`{recipe.name}`", _published(recipe), ours, difference)
        rows.append((*named, f"{recipe.parameters:,}", *rest))
    return Table(COLUMNS, rows)


def mean_top1(name: str, records: Mapping[str, Sequence[Record]]) -> str:
    """Top-1 on the test images in percent, the mean over a recipe's comparable runs.

    Args:
        name: the recipe's.
        records: as `read_results` gives them.
    """
    done = _comparable(records.get(name, []))
    return f"{mean(_percent(done, 'top1')):.1f}" if done else NOT_RUN


def gain_table(pairs: Iterable[tuple[str, str]], records: Mapping[str, Sequence[Record]]) -> Table:
    """How far one recipe is above another: points of accuracy ± a standard error, a row per pair.

    The error joins that of the test images, as if every recipe had its own, and that of the seeds:
    how far runs of one recipe scatter, over all recipes that have several.

    Args:
        pairs: names of recipes: the one to start from, and the one to compare with it.
        records: as `read_results` gives them; means over the seeds of comparable runs.
    """
    scatter = {figure: _scatter(records.values(), figure) for figure in TOPS}
    rows = []
    for pair in pairs:
        before, after = (_comparable(records.get(name, [])) for name in pair)
        gains = [UNFINISHED, UNFINISHED]
        if before and after:
            gains = [
                _gain(_percent(before, figure), _percent(after, figure), scatter[figure])
                for figure in TOPS
            ]
        seeds = f"{len(before)} / {len(after)}"
        rows.append((*(f"`{name}`" for name in pair), *gains, seeds))
    return Table(("from", "to", "top-1", "top-5", "seeds"), rows)


def progress_table(recipes: Iterable[Recipe], records: Mapping[str, Sequence[Record]]) -> Table:
    """How far runs have come, and what was published after the same epoch, a row per run.

    Both are top-1 on the validation images, in percent.

    Args:
        recipes: those whose published curve is known.
        records: as `read_results` gives them.
    """
    rows = []
    for recipe in recipes:
        curve = published_curve(recipe.name)
        for run in records.get(recipe.name, []):
            epochs = len(run.history)
            ours, published = 100 * run.history[-1]["val_top1"], 100 * curve[epochs - 1]
            figures = (f"{ours:.2f}", f"{published:.2f}", f"{ours - published:+.2f}")
            begun = (f"`{recipe.name}`", str(run.seed), f"{epochs} of {run.epochs}")
            rows.append((*begun, *figures, tell_time(run.seconds)))
    return Table(PROGRESS_COLUMNS, rows)


def _comparable(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.comparable]


def _percent(records: Sequence[Record], name: str) -> list[float]:
    return [100 * record.reported[name] for record in records]


def _scatter(recipes: Iterable[Sequence[Record]], figure: str) -> float:
    """The variance of runs that differ in their seeds alone, in points squared."""
    several = [runs for runs in map(_comparable, recipes) if len(runs) > 1]
    freedom = sum(len(runs) - 1 for runs in several)
    squares = sum((len(runs) - 1) * variance(_percent(runs, figure)) for runs in several)
    return squares / freedom if several else 0.0


def _gain(before: Sequence[float], after: Sequence[float], scatter: float) -> str:
    squared_error = sum(
        mean(runs) * (100 - mean(runs)) / TEST_IMAGES + scatter / len(runs)
        for runs in (before, after)
    )
    return f"{mean(after) - mean(before):+.2f} ± {squared_error**0.5:.2f}"


def _published(recipe: Recipe) -> str:
    if recipe.published is None:
        return "–"
    figures = (recipe.published.top1, recipe.published.top5)
    return " / ".join("–" if figure is None else f"{figure:.2f}" for figure in figures)


def _measured(recipe: Recipe, done: Sequence[Record]) -> list[str]:
    top1, top5 = (_percent(done, name) for name in TOPS)
    difference = f"{mean(top1) - recipe.published.top1:+.2f}" if recipe.published else "–"
    return [
        f"{_spread(top1)} / {_spread(top5)}",
        difference,
        str(len(done)),
        tell_time(mean(r.seconds for r in done)),
        ", ".join(dict.fromkeys(map(_machine, done))),
    ]


def _begun(records: Sequence[Record]) -> list[str]:
    """The cells of a recipe without a finished run; how far it is, if one was begun."""
    if not records:
        return [NOT_RUN, *["–"] * 4]
    furthest = max(records, key=lambda r: len(r.history))
    progress = f"{len(furthest.history)} of {furthest.epochs} epochs"
    if furthest.finished:
        progress = "not comparable"
    return [progress, "–", "–", tell_time(furthest.seconds), _machine(furthest)]


def _machine(record: Record) -> str:
    """Device and backend, without the marks and words that make a column wide."""
    return f"{re.sub(r'[(](R|TM)[)]| Processor', '', record.device)} ({record.backend})"


def _to_html(text: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation; one value alone."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"
