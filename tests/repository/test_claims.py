"""What the book says in words about its recorded runs is what their records say."""

from statistics import mean

import pytest

from smallvit.training.records import read_results, results_folder

RECORDS = {
    name.removeprefix("ladder-"): [record for record in records if record.comparable]
    for name, records in read_results(results_folder()).items()
}


def top1(rung):
    return [100 * record.reported["top1"] for record in RECORDS[rung]]


def in_standard_errors(before, after):
    """The gain from one rung to another, in standard errors of 10,000 test images."""
    a, b = mean(top1(before)), mean(top1(after))
    share = (a + b) / 2
    return (b - a) / (2 * share * (100 - share) / 10_000) ** 0.5


@pytest.mark.parametrize(
    ("before", "after", "low", "high"),
    [
        ("cnn", "vit", -2, 5),  # "not behind", "nearly equal"
        ("cnn-5000", "vit-5000", -100, -5),  # "ahead by many times the error", "far behind"
        ("cnn-1000", "vit-1000", -100, -2),  # "and the convolutional network is still ahead"
        ("vit-5000", "swin-5000", 3, 100),  # "both kinds win back"
        ("vit-5000", "sl-vit-5000", 3, 100),
        ("swin-5000", "cnn-5000", 3, 100),  # "a good part", not all
        ("sl-vit-5000", "cnn-5000", 3, 100),  # "is ahead of `ladder-sl-vit`"
        ("vit", "vit-norm", -100, -2),  # "a norm of the raw patches costs accuracy"
        ("vit-norm", "s-vit", -2, 2),  # "less than two standard errors"
        ("s-vit", "sl-vit", -2, 2),  # "nothing beyond its error"
        ("vit", "vit-bias", -2, 100),  # "the bias alone does not cost"
        ("vit-bias", "windows", -100, -2),  # "the windows do"
        ("windows", "swin", -2, 2),  # "gives nothing back beyond the error"
        ("vit", "sl-vit", -100, -2),  # "both kinds of locality, as a whole, cost accuracy"
        ("vit", "swin", -100, -2),
    ],
)
def test_the_ladders_steps_are_as_small_data_tells_them(before, after, low, high):
    assert low < in_standard_errors(before, after) < high


def test_seeds_of_a_recipe_agree_closely():
    several = {rung: top1(rung) for rung in RECORDS if len(top1(rung)) > 1}
    assert several
    assert {rung: found for rung, found in several.items() if max(found) - min(found) > 1} == {}


def test_more_photographs_help_the_vit_most():
    others = ("cnn", "swin", "sl-vit")
    gains = {rung: mean(top1(rung)) - mean(top1(f"{rung}-5000")) for rung in ("vit", *others)}
    assert min(gains.values()) > 0 and gains["vit"] > max(gains[rung] for rung in others)


@pytest.mark.parametrize("rung", ["swin-5000", "sl-vit-5000"])
def test_locality_wins_back_more_than_two_fifths(rung):
    cnn, vit, other = (mean(top1(name)) for name in ("cnn-5000", "vit-5000", rung))
    assert 0.4 < (other - vit) / (cnn - vit) < 0.5


def test_the_vit_knows_few_photographs_by_heart_and_better_than_the_winner():
    known = {
        rung: mean(record.history[-1]["top1"] for record in RECORDS[rung])
        for rung in ("cnn-1000", "vit-1000", "cnn-5000", "vit-5000", "swin-5000", "sl-vit-5000")
    }
    assert (
        known["vit-5000"] > 0.99 > max(known[f"{rung}-5000"] for rung in ("cnn", "swin", "sl-vit"))
    )
    assert min(known["cnn-1000"], known["vit-1000"]) > 0.99
