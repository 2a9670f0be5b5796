"""What pages in Markdown show beside their text: a figure to move, the results, the build's facts.

They are no notebooks, so directives put in what a cell would show.
"""

from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

SIDE, WINDOW, TOKEN = 12, 4, (5, 5)

SHOWN = (
    "recipe",
    "published top-1 / top-5",
    "ours, top-1 / top-5",
    "difference",
    "parameters",
)


def heard_from(blocks, shift):
    """Find the tokens that one token has heard from, through blocks of window attention.

    Args:
        blocks: how many.
        shift: how far every second one shifts its windows, in tokens; none of them wraps round.

    Returns:
        A boolean array ``(SIDE, SIDE)``.
    """
    heard = np.zeros((SIDE, SIDE), bool)
    heard[TOKEN] = True
    for block in reversed(range(blocks)):
        strip = (np.arange(SIDE) + (WINDOW - shift if block % 2 else 0)) // WINDOW
        window = strip[:, None] * SIDE + strip
        heard = np.isin(window, window[heard])
    return heard


def draw_hearing(blocks, shifted):
    """Draw the tokens heard from, with the windows of the last block."""
    from smallvit.book.drawings import Scale, draw_grid, window_numbers

    shift = WINDOW // 2 if shifted == "yes" else 0
    heard = np.where(heard_from(blocks, shift), 0.5, np.nan)
    windows = window_numbers(SIDE, SIDE, WINDOW, 0 if blocks % 2 else shift)
    return draw_grid(heard, Scale(0, 1), windows=windows, query=TOKEN, cell=26)


def tell_hearing(blocks, shifted):
    """Say how many tokens were heard from."""
    count = int(heard_from(blocks, WINDOW // 2 if shifted == "yes" else 0).sum())
    windows = "shifted windows" if shifted == "yes" else "windows that stay where they are"
    after = "1 block" if blocks == 1 else f"{blocks} blocks"
    return (
        f"After {after} with {windows}, the outlined token has heard from {count} "
        f"of {SIDE * SIDE} tokens (blue)."
    )


def read_records(env):
    """Read the records, and have Sphinx read a page anew when they or their words change."""
    from smallvit.book import report
    from smallvit.training.records import read_results

    folder = report.results_folder()
    for path in [Path(report.__file__), *folder.rglob("*.json")]:
        env.note_dependency(str(path))
    return read_results(folder)


def split(line):
    """Split a line at its bars."""
    return [part.strip() for part in line.split("|")]


class HearingFigure(SphinxDirective):
    """Show how far a token hears, by blocks and with windows shifted or not."""

    def run(self):
        """Draw all frames."""
        from smallvit.book.explore import explore, options

        figure = explore(
            draw_hearing,
            tell_hearing,
            start={"blocks": 2, "shifted": "yes"},
            blocks=range(1, 6),
            shifted=options("no", "yes"),
        )
        return [nodes.raw("", figure.to_html(), format="html")]


class AccuracyTable(SphinxDirective):
    """Show accuracies on the test images, in percent, a recipe in each place of a grid.

    The argument is the headings, each line of the content a row: its name, then names of recipes,
    or a dash; all between bars.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self):
        """Make the table from the records."""
        from smallvit.book import report

        records = read_records(self.env)
        rows = []
        for line in self.content:
            title, *names = split(line)
            rows.append([title, *(self.tell(name, records) for name in names)])
        table = report.Table(split(self.arguments[0]), rows)
        return [nodes.raw("", table._repr_html_(), format="html")]

    def tell(self, name, records):
        """Say what a recipe's runs reached; of none, nothing."""
        from smallvit.book.report import mean_top1
        from smallvit.training.recipes import get_recipe

        return name if name == "–" else mean_top1(get_recipe(name).name, records)


class ResultsTable(SphinxDirective):
    """Show published figures, if there are any, beside recorded ones, for the named recipes."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Make the table from the records."""
        from smallvit.book import report
        from smallvit.training.recipes import get_recipe

        recipes = [get_recipe(name) for name in self.arguments[0].split()]
        table = report.results_table(recipes, read_records(self.env))
        columns = zip(table.columns, *table.rows, strict=True)
        filled = {name for name, *values in columns if set(values) != {"–"}}
        short = table.select(*(name for name in SHOWN if name in filled))
        return [nodes.raw("", short._repr_html_(), format="html")]


class BuildFacts(SphinxDirective):
    """Show what the pages were built with: commit, device, versions."""

    def run(self):
        """Ask for the facts anew at each build."""
        from smallvit.book.report import Table
        from smallvit.training.records import describe_commit, describe_versions
        from smallvit.training.runtime import describe_device

        self.env.note_reread()
        facts = {"commit": describe_commit() or "outside git", "device": describe_device()}
        table = Table(("what", "which"), list({**facts, **describe_versions()}.items()))
        return [nodes.raw("", table._repr_html_(), format="html")]


def setup(app):
    """Register the extension with Sphinx."""
    app.add_directive("accuracy-table", AccuracyTable)
    app.add_directive("build-facts", BuildFacts)
    app.add_directive("hearing-figure", HearingFigure)
    app.add_directive("results-table", ResultsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
