import dataclasses

import pytest
from matplotlib import pyplot
from samples import RECORD

from smallvit.book import report
from smallvit.book.report import (
    Table,
    draw_curves,
    gain_table,
    mean_top1,
    progress_table,
    published_curve,
    results_table,
)
from smallvit.training.recipes import BEST_EPOCH, get_recipe

RUN = dataclasses.replace(
    RECORD,
    dataset="cifar100",
    published_data=True,
    config={"epochs": 2},
    epochs=2,
    history=[
        {"epoch": 1, "val_top1": 0.1, "seconds": 2700.0},
        {"epoch": 2, "val_top1": 0.2, "seconds": 2700.0},
    ],
    test={"loss": 2.5, "top1": 0.45, "top5": 0.751},
)


def row_of(table, name):
    (row,) = [row for row in table.rows if row[0] == f"`{name}`"]
    return list(row)


def test_one_run_is_told_with_its_difference():
    table = results_table([get_recipe("swin-keras")], {"swin-keras": [RUN]})
    assert row_of(table, "swin-keras") == [
        "`swin-keras`",
        "44.80 / 75.23",
        "45.00 / 75.10",
        "+0.20",
        "162,996",
        "1",
        "1 h 30 min",
        "a processor (tensorflow)",
    ]


def test_mean_top1_is_of_comparable_runs_alone():
    other = dataclasses.replace(RUN, seed=1, test={"loss": 2.5, "top1": 0.47, "top5": 0.751})
    short = dataclasses.replace(RUN, seed=2, history=RUN.history[:1])
    records = {"swin-keras": [RUN, other, short], "vit-keras": [short]}
    assert mean_top1("swin-keras", records) == "46.0"
    assert mean_top1("vit-keras", records) == mean_top1("vit-paper", records) == report.NOT_RUN


def test_several_seeds_give_mean_and_standard_deviation():
    other = dataclasses.replace(RUN, seed=1, test={"loss": 2.5, "top1": 0.47, "top5": 0.751})
    row = row_of(
        results_table([get_recipe("swin-keras")], {"swin-keras": [RUN, other]}), "swin-keras"
    )
    assert row[2] == "46.00 ± 1.41 / 75.10 ± 0.00"
    assert row[3] == "+1.20"
    assert row[5] == "2"


def test_a_gain_is_a_difference_of_means_with_its_error_where_both_were_run():
    """By hand: 46 and 48 scatter with a variance of 2, and `p * (100 - p) / 10_000` is added."""
    better = [
        dataclasses.replace(RUN, seed=seed, test={"loss": 2.4, "top1": top1, "top5": 0.761})
        for seed, top1 in [(0, 0.46), (1, 0.48)]
    ]
    short = dataclasses.replace(RUN, config={"epochs": 3})
    records = {"swin-keras": [RUN, short], "swin-fixed": better, "vit-keras": [short]}
    table = gain_table([("swin-keras", "swin-fixed"), ("swin-keras", "vit-keras")], records)
    assert table.rows == [
        ("`swin-keras`", "`swin-fixed`", "+2.00 ± 1.87", "+1.00 ± 0.61", "1 / 2"),
        ("`swin-keras`", "`vit-keras`", report.UNFINISHED, report.UNFINISHED, "1 / 0"),
    ]


def test_while_no_recipe_has_several_seeds_the_error_of_a_gain_is_the_test_images_alone():
    better = dataclasses.replace(RUN, test={"loss": 2.4, "top1": 0.48, "top5": 0.751})
    records = {"swin-keras": [RUN], "swin-fixed": [better]}
    (row,) = gain_table([("swin-keras", "swin-fixed")], records).rows
    assert row[2:4] == ("+3.00 ± 0.71", "+0.00 ± 0.61")


def test_what_was_not_run_or_only_begun_is_told_as_such():
    begun = dataclasses.replace(RUN, epochs=50, test=None)
    recipes = [get_recipe("vit-keras"), get_recipe("swin-fixed")]
    table = results_table(recipes, {"vit-keras": [begun]})
    assert row_of(table, "vit-keras")[2] == "2 of 50 epochs"
    assert row_of(table, "swin-fixed")[1:4] == ["–", report.NOT_RUN, "–"]


def test_a_run_is_told_beside_the_published_curve_at_the_same_epoch(monkeypatch):
    curves = {"vit-keras": [0.05, 0.1875, 0.25], "sl-vit-keras": [0.5, 0.5]}
    monkeypatch.setattr(report, "published_curve", curves.get)
    begun = dataclasses.replace(RUN, epochs=50, test=None)
    further = [*RUN.history, {"epoch": 3, "val_top1": 0.2625, "seconds": 60.0}]
    records = {"vit-keras": [begun, dataclasses.replace(begun, seed=1, history=further)]}
    table = progress_table([get_recipe("vit-keras"), get_recipe("sl-vit-keras")], records)
    assert table.rows == [
        ("`vit-keras`", "0", "2 of 50", "20.00", "18.75", "+1.25", "1 h 30 min"),
        ("`vit-keras`", "1", "3 of 50", "26.25", "25.00", "+1.25", "1 h 31 min"),
    ]


def test_a_run_on_other_data_or_of_fewer_epochs_is_no_reproduction():
    short = dataclasses.replace(RUN, config={"epochs": 3})
    table = results_table([get_recipe("swin-keras")], {"swin-keras": [short]})
    assert "45.00" not in repr(table)


def test_the_papers_protocol_reports_the_best_epoch():
    history = [
        {"epoch": n, "val_top1": x, "val_top5": 0.9, "val_loss": 1.0}
        for n, x in [(1, 0.7), (2, 0.6)]
    ]
    paper = dataclasses.replace(RUN, config={"epochs": 2, "protocol": BEST_EPOCH}, history=history)
    assert paper.reported == {"top1": 0.7, "top5": 0.9, "loss": 1.0}
    assert RUN.reported == RUN.test


def test_published_curves_are_as_long_as_the_recipes_and_end_near_their_figures():
    for name in ("swin-keras", "vit-keras", "sl-vit-keras"):
        recipe, curve = get_recipe(name), published_curve(name)
        assert len(curve) == len(published_curve(name, "train_top1")) == recipe.epochs
        assert 100 * curve[-1] == pytest.approx(recipe.published.top1, abs=2.5)
    assert published_curve("vit-paper") == []
    assert len(published_curve("swin-keras", "val_loss")) == get_recipe("swin-keras").epochs


def test_curves_are_drawn_in_percent_and_empty_ones_left_out():
    figure = draw_curves({"ours": [0.1, 0.2], "published": []})
    (line,) = figure.axes[0].lines
    assert line.get_label() == "ours"
    assert line.get_xydata().tolist() == [[1, 10], [2, 20]]
    pyplot.close(figure)


def test_a_table_is_html_with_code_and_without_what_could_be_markup():
    html = Table(("name", "size"), [("`swin`", "1 < 2")])._repr_html_()
    assert "<td><code>swin</code></td><td>1 &lt; 2</td>" in html
    assert html.count('<th scope="col">') == 2


def test_columns_of_a_table_can_be_selected():
    table = Table(("name", "size", "sum"), [("a", "b", "c")]).select("sum", "name")
    assert (table.columns, table.rows) == (("sum", "name"), [["c", "a"]])
