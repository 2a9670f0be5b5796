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
    a, b = top1(before), top1(after)
    share = mean(a + b)
    error = (share * (100 - share) / 10_000 * (1 / len(a) + 1 / len(b))) ** 0.5
    return (mean(b) - mean(a)) / error


@pytest.mark.parametrize(
    ("before", "after", "low", "high"),
    [
        ("cnn", "vit", -2, 5),  # "not behind", "nearly equal"
        ("cnn-5000", "vit-5000", -100, -5),  # "ahead by many times the error", "far behind"
        ("cnn-1000", "vit-1000", -100, -2),  # "and the convolutional network is still ahead"
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


def test_more_photographs_help_the_vit_more():
    gains = {rung: mean(top1(rung)) - mean(top1(f"{rung}-5000")) for rung in ("cnn", "vit")}
    assert 0 < gains["cnn"] < gains["vit"]


def test_the_vit_knows_few_photographs_by_heart_and_better_than_the_winner():
    known = {
        rung: mean(record.history[-1]["top1"] for record in RECORDS[rung])
        for rung in ("cnn-1000", "vit-1000", "cnn-5000", "vit-5000")
    }
    assert known["vit-5000"] > 0.99 > known["cnn-5000"]
    assert min(known["cnn-1000"], known["vit-1000"]) > 0.99
