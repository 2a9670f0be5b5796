"""What the book says in words about its recorded runs is what their records say."""

import json
import re
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import ops
from matplotlib.cbook import get_sample_data
from PIL import Image

from smallvit.book.report import published_curve
from smallvit.data.datasets import CIFAR100_MEAN, CIFAR100_STD
from smallvit.data.transforms import Normalize
from smallvit.models.inside import look_inside
from smallvit.training.pretrained import load_pretrained
from smallvit.training.records import read_results, results_folder

ROOT = Path(__file__).parents[2]
PROSE = [
    "".join(cell["source"])
    for path in sorted((ROOT / "book").rglob("*.ipynb"))
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    if cell["cell_type"] == "markdown"
]
PROSE += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "book").glob("*.md"))]
BOOK = " ".join(" ".join(PROSE).split())

RECORDS = {
    name.removeprefix("ladder-"): [record for record in records if record.comparable]
    for name, records in read_results(results_folder()).items()
}


def top1(rung):
    return [100 * record.reported["top1"] for record in RECORDS[rung]]


def variance_of_seeds():
    """Of runs of one recipe, in points squared, over all recipes that have several."""
    several = [found for found in map(top1, RECORDS) if len(found) > 1]
    squares = sum((x - mean(found)) ** 2 for found in several for x in found)
    return squares / sum(len(found) - 1 for found in several)


def variance(rung):
    """Of a recipe's accuracy, in points squared: that of the test images and that of the seeds."""
    p, runs = mean(top1(rung)), len(top1(rung))
    return p * (100 - p) / 10_000 + variance_of_seeds() / runs


def in_standard_errors(before, after):
    """The gain from one rung to another, in standard errors."""
    gain = mean(top1(after)) - mean(top1(before))
    return gain / (variance(before) + variance(after)) ** 0.5


TUNED = "with a rate of its own for each on 5,000 and 45,000"
LOCALITY_ON_FEW = "locality of either kind helps on 1,000 and 5,000, not on 45,000"
LOCALITY_TUNED = "at rates of their own, on 5,000 (on 45,000 one other rate was tried: no gain)"
LOCALITY_AT_1000 = "both kinds of locality are level with the convolutional network"
LOCALITY_AT_5000 = "win back about half of the plain ViT's deficit"
NEITHER = "Neither the shifts nor locality self-attention changes anything beyond the error"
NO_OTHER_STEP = "No other row, two losses among them, is"


@pytest.mark.parametrize(
    ("before", "after", "low", "high", "words"),
    [
        ("cnn", "vit", -2, 2, "the plain ViT is not behind the convolutional network"),
        ("cnn", "vit", -2, 2, "with one learning rate for all, the two are level"),
        ("vit", "swin", -100, 2, "the two are level and locality no longer helps"),
        ("vit", "sl-vit", -100, 2, "the two are level and locality no longer helps"),
        ("cnn-5000", "vit-5000", -100, -5, "on 5,000 photographs it loses by far"),
        ("cnn-32e-3", "vit-4e-3", -100, -5, "the convolutional network is well ahead again"),
        ("cnn-32e-3", "vit-4e-3", -6, -5, "the ViT is behind by more than five times the error"),
        ("cnn-5000", "vit-5000", -100, -5, "ahead by many times the error"),
        ("cnn-1000", "vit-1000", -100, -2, "The ViT is still behind"),
        ("cnn-1000", "sl-vit-1000", -2, 2, LOCALITY_AT_1000),
        ("cnn-1000", "swin-1000", -2, 2, LOCALITY_AT_1000),
        ("cnn-5000-8e-3", "vit-5000-4e-3", -100, -5, TUNED),
        ("cnn-32e-3", "vit-4e-3", -100, -5, TUNED),
        ("vit-5000-4e-3", "swin-5000-4e-3", 3, 100, LOCALITY_TUNED),
        ("vit-5000-4e-3", "sl-vit-5000-8e-3", 3, 100, LOCALITY_TUNED),
        ("vit-4e-3", "swin-4e-3", -100, 0, LOCALITY_TUNED),
        ("vit-4e-3", "sl-vit-4e-3", -100, 0, LOCALITY_TUNED),
        ("vit-4e-3", "swin-4e-3", -100, 0, "it has been tried at one other rate, without a gain"),
        ("vit-1000", "swin-1000", 2, 100, LOCALITY_ON_FEW),
        ("vit-1000", "sl-vit-1000", 2, 100, LOCALITY_ON_FEW),
        ("vit-5000", "swin-5000", 3, 100, LOCALITY_AT_5000),
        ("vit-5000", "sl-vit-5000", 3, 100, LOCALITY_AT_5000),
        ("swin-5000", "cnn-5000", 3, 100, "locality of either kind wins back a good part"),
        ("sl-vit-5000", "cnn-5000-8e-3", 3, 100, "the first is ahead of the second"),
        ("vit", "vit-norm", -100, -2, "a norm of raw patches costs accuracy"),
        ("vit-norm", "s-vit", -2, 2, NEITHER),
        ("s-vit", "sl-vit", -2, 2, NEITHER),
        ("vit", "vit-bias", -2, 2, "the bias alone does not cost"),
        ("vit-bias", "windows", -2, -1.6, "at just under two standard errors"),
        ("windows", "swin", -2, 2, "Shifting them gives nothing back here beyond the error"),
        ("vit", "sl-vit", -100, -2, "as a whole, cost accuracy"),
        ("vit", "swin", -2.6, -1.6, "the Swin's loss is about two standard errors"),
        ("swin-keras", "swin-drop-path", -1, 0, NO_OTHER_STEP),
        ("swin-drop-path", "swin-crop", 2.4, 2.6, "two and a half times its error"),
        ("swin-crop", "swin-shuffle", -1, 0, NO_OTHER_STEP),
        ("swin-shuffle", "swin-normalize", 0, 2, NO_OTHER_STEP),
        ("swin-normalize", "swin-fixed", 0, 2, NO_OTHER_STEP),
    ],
)
def test_a_step_is_as_large_as_the_book_says(before, after, low, high, words):
    assert low < in_standard_errors(before, after) < high
    assert words in BOOK


def test_the_crop_brings_as_much_as_all_changes_together():
    crop = mean(top1("swin-crop")) - mean(top1("swin-drop-path"))
    together = mean(top1("swin-fixed")) - mean(top1("swin-keras"))
    assert abs(crop - together) < 0.25
    assert 2.25 < crop < 2.75
    assert "that on the test images rises by two and a half" in BOOK


def test_with_the_crop_training_images_are_no_longer_learnt_by_heart():
    (before,), (after,) = RECORDS["swin-drop-path"], RECORDS["swin-crop"]
    before, after = before.history[-1], after.history[-1]
    assert before["top1"] > before["val_top1"] and after["top1"] < after["val_top1"]
    assert round(100 * (before["top1"] - after["top1"])) == 8
    assert "the accuracy on the training images falls by 8 points" in BOOK


def test_the_papers_recipes_have_no_record():
    papers = [name for name in read_results(results_folder()) if "-paper" in name]
    assert papers == []
    assert "of the paper's four models, no run has begun" in BOOK


def test_two_seeds_of_a_recipe_can_differ_by_more_than_a_point():
    apart = [max(found) - min(found) for found in map(top1, RECORDS) if len(found) > 1]
    assert 1 < max(apart) < 2


def test_more_photographs_help_the_vit_most():
    others = ("cnn", "swin", "sl-vit")
    gains = {rung: mean(top1(rung)) - mean(top1(f"{rung}-5000")) for rung in ("vit", *others)}
    assert min(gains.values()) > 0 and gains["vit"] > max(gains[rung] for rung in others)


@pytest.mark.parametrize("rung", ["swin-5000", "sl-vit-5000"])
def test_locality_wins_back_about_half(rung):
    cnn, vit, other = (mean(top1(name)) for name in ("cnn-5000", "vit-5000", rung))
    assert 0.4 < (other - vit) / (cnn - vit) < 0.6


RIVALS = ("cnn", "vit", "swin", "sl-vit")


def known(rung):
    """How often a rung is right on the photographs it learns from, in its last epoch."""
    return mean(record.history[-1]["top1"] for record in RECORDS[rung])


def test_all_know_1000_photographs_by_heart_and_the_vit_alone_5000():
    assert min(known(f"{rung}-1000") for rung in RIVALS) > 0.99
    others = (known(f"{rung}-5000") for rung in RIVALS if rung != "vit")
    assert known("vit-5000") > 0.99 > max(others)


def test_of_5000_the_better_known_the_worse_on_new_ones():
    rungs = [f"{rung}-5000" for rung in RIVALS]
    by_known = sorted(rungs, key=known)
    assert by_known == sorted(rungs, key=lambda rung: -mean(top1(rung)))


def test_most_of_the_loss_on_the_way_to_shifted_patches_is_the_norms():
    vit, norm, shifted = (mean(top1(rung)) for rung in ("vit", "vit-norm", "s-vit"))
    assert (vit - norm) / (vit - shifted) > 0.8


def held_out(rung):
    return mean(record.history[-1]["val_top1"] for record in RECORDS[rung])


@pytest.mark.parametrize(
    ("rung", "best"),
    [
        ("cnn", "cnn-32e-3"),
        ("vit", "vit-4e-3"),
        ("cnn-5000", "cnn-5000-8e-3"),
        ("vit-5000", "vit-5000-4e-3"),
        ("swin-5000", "swin-5000-4e-3"),
        ("sl-vit-5000", "sl-vit-5000-8e-3"),
    ],
)
def test_photographs_held_out_choose_the_rate(rung, best):
    tried = [x for x in RECORDS if RECORDS[x] and re.fullmatch(rf"{rung}(-\d+e-3)?", x)]
    assert len(tried) > 2 and max(tried, key=held_out) == best
    assert f" ladder-{best} " in (ROOT / "book" / "intro.md").read_text().replace("\n", " ")


def test_accuracy_by_rate_is_as_small_data_tells_it():
    for rung in ("cnn", "vit"):
        assert 4.5 < mean(top1(rung)) - mean(top1(f"{rung}-1e-3")) < 6.5
    assert "half of it costs the ViT and the convolutional network five to six points" in BOOK

    vit, *higher = (mean(top1(name)) for name in ("vit", "vit-4e-3", "vit-8e-3"))
    assert 1.5 < min(higher) - vit < max(higher) - vit < 2.5
    assert "At twice the rate the ViT gains two, and then no more, the Swin" in BOOK

    cnn = [mean(top1(f"cnn-{rate}")) for rate in ("4e-3", "8e-3", "16e-3", "32e-3")]
    assert np.all(np.diff(cnn[:3]) > 1.5) and abs(cnn[3] - cnn[2]) < 0.5
    assert "the convolutional network goes on gaining up to eight times the rate" in BOOK

    assert 1.5 < mean(top1("cnn-5000-8e-3")) - mean(top1("cnn-5000")) < 2.5
    assert 1.5 < mean(top1("sl-vit-5000-8e-3")) - mean(top1("sl-vit-5000")) < 2.5
    assert "brings the convolutional network and the SL-ViT two points" in BOOK
    for rung in ("vit-5000", "swin-5000"):
        assert abs(mean(top1(f"{rung}-4e-3")) - mean(top1(rung))) < 0.5
    assert "it moves the others by less than half a point" in BOOK

    assert 3.5 < mean(top1("sl-vit-4e-3")) - mean(top1("sl-vit")) < 4
    assert 1.5 < mean(top1("swin-4e-3")) - mean(top1("swin")) < 2.5
    assert "the Swin two and the SL-ViT almost four" in BOOK


def test_with_few_photographs_locality_helps_at_its_own_rate_too():
    cnn, vit, swin, sl_vit = (
        mean(top1(f"{rung}-5000-{rate}"))
        for rung, rate in (("cnn", "8e-3"), ("vit", "4e-3"), ("swin", "4e-3"), ("sl-vit", "8e-3"))
    )
    assert 0.35 < (swin - vit) / (cnn - vit) < 0.45 and 0.5 < (sl_vit - vit) / (cnn - vit) < 0.6
    assert "two fifths (Swin) or more than half of the deficit" in BOOK


def attend(recipe):
    """A model's attention on sixteen views of a portrait: (blocks, images, heads, 64, 64)."""
    with get_sample_data("grace_hopper.jpg") as file:
        whole = Image.fromarray(plt.imread(file))
    corners = [(50 * j, 60 * i) for i in range(4) for j in range(4)]
    views = [whole.crop((x, y, x + 360, y + 360)).resize((32, 32)) for x, y in corners]
    images = Normalize(CIFAR100_MEAN, CIFAR100_STD)(np.stack([np.asarray(v) for v in views]), None)
    inside = look_inside(load_pretrained(recipe))(images)
    return np.stack(
        [ops.convert_to_numpy(inside[f"block{n}_attention"])[:, 0] for n in range(1, 5)]
    )


@pytest.fixture(scope="module")
def attention():
    return attend("ladder-vit")


def test_some_heads_look_at_themselves_and_none_mostly(attention):
    own = np.diagonal(attention, axis1=-2, axis2=-1)
    shares = 64 * own.mean(axis=(1, 3))  # of an equal one, by block and head
    assert ((shares[:2] > 2) & (shares[:2] < 4)).any() and shares.max() < 4  # "two to four times"
    assert (shares[3] < 1).sum() >= 3  # "in most heads of the last block"
    assert round(100 * (attention.max(axis=-1) <= own).mean()) == 3  # "in 3 % of all rows"


ROWS, COLUMNS = np.divmod(np.arange(64), 8)
APART = np.hypot(ROWS[:, None] - ROWS, COLUMNS[:, None] - COLUMNS)


def reach(attention):
    """How far each head looks, in patches: (blocks, heads)."""
    return (attention * APART).sum(axis=-1).mean(axis=(1, 3))


def nearness(attention):
    """How much nearer than if all queries of an image had their mean row, by block and head."""
    return reach(attention.mean(axis=3, keepdims=True)) - reach(attention)


def test_some_heads_came_nearer_but_to_little_more_than_three_patches(attention):
    far = reach(attention)
    assert 3 < far.min() < 3.3 and far[:2].min(axis=1).max() < 3.5
    assert far[:2].mean() < far[2:].mean() < APART.mean()
    assert far.max() > APART.mean()  # "Some heads still look as far as at the start"


def test_nearness_is_learnt_in_two_blocks_and_from_few_photographs_hardly_any(attention):
    same_rows = reach(attention.mean(axis=3, keepdims=True)).mean(axis=1)
    assert max(same_rows[1:3]) < APART.mean() - 0.2  # "in block 2, same rows are nearer, too"
    many, few = (nearness(x).mean(axis=1) for x in (attention, attend("ladder-vit-5000")))
    assert min(many[:2]) > 0.3 and max(abs(many[2:])) < 0.1
    assert few[0] < 0.6 * many[0] and max(abs(few[1:])) < 0.1
    assert "From 5,000 there is less of it in block 1, and hardly any further on" in BOOK


def test_three_points_come_with_either_sign():
    pairs = [("vit-5000", "sl-vit-5000"), ("vit", "sl-vit")]
    gains = [mean(top1(after)) - mean(top1(before)) for before, after in pairs]
    assert [round(gain) for gain in gains] == [3, -3]
    assert all(3.5 < abs(in_standard_errors(*pair)) < 4 for pair in pairs)
    assert "a gain with 5,000 photographs, a loss with 45,000, each nearly four standard" in BOOK


@pytest.mark.parametrize("seed", [0, 1])
def test_the_last_blocks_temperatures_ended_1_2_to_1_4_times_as_large(seed):
    attention = load_pretrained("ladder-sl-vit", seed).get_layer("block4").attn
    times = ops.convert_to_numpy(attention.scale) * attention.key_dim**0.5
    assert (round(float(times.min()), 1), round(float(times.max()), 1)) == (1.2, 1.4)


def test_the_twins_of_the_keras_example_are_as_results_tells_them():
    vit, sl_vit = (
        np.array(
            [100 * epoch["val_top1"] for epoch in read_results(results_folder())[name][0].history]
        )
        for name in ("vit-keras", "sl-vit-keras")
    )
    log = 100 * np.array(published_curve("vit-keras"))[: len(vit)]
    gap, error = vit - log, (2 * vit * (100 - vit) / 5_000) ** 0.5
    assert len(vit) == 20 and gap.min() < 0 < gap.max() and abs(gap.mean()) < 0.5
    words = "follows its log for twenty epochs, now above it and now below, on average by less than"
    assert words in BOOK
    assert 2 < (abs(gap) / error).max() < 2.6
    assert "The largest of these differences is little more than two standard errors" in BOOK

    sl_log = 100 * np.array(published_curve("sl-vit-keras"))[: len(sl_vit)]
    gap, error = sl_vit - sl_log, (2 * sl_vit * (100 - sl_vit) / 5_000) ** 0.5
    gap /= error
    assert len(gap) == 15 and gap.min() > 0 and 5 < gap[12] == gap.max() < 6 and 1.5 < gap[14] < 2.5
    words = "in all of its fifteen epochs, in the thirteenth by more than five standard errors, in"
    assert words in BOOK

    lead, published = sl_vit - vit[: len(sl_vit)], sl_log - log[: len(sl_vit)]
    assert 2 < lead[10:14].min() < lead[10:14].max() < 4 and 0 < lead[14] < 1
    assert abs(published).max() < 1.2
    assert "in the next four epochs, SL-ViT is two to four points ahead, and in the fift" in BOOK


def test_the_keras_sl_vit_learns_faster_than_the_published_one():
    (run,) = read_results(results_folder())["sl-vit-keras"]
    learnt = [100 * epoch["top1"] for epoch in run.history]
    published = 100 * published_curve("sl-vit-keras", "train_top1")[len(learnt) - 1]
    assert 1.5 < learnt[-1] - published < 2
    assert "it is almost two points ahead; there are 45,000 of those" in BOOK
    assert round((2 * published * (100 - published) / 45_000) ** 0.5, 1) == 0.3
