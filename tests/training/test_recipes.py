import json
import re
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from samples import PARAMETERS

from smallvit.models import swin, vit
from smallvit.models.cost import count_macs
from smallvit.training.build import build_model
from smallvit.training.recipes import (
    ALL,
    BEST_EPOCH,
    LADDER,
    LADDER_BY_SIZE,
    LAST_EPOCH,
    RECIPES,
    SWIN_STEPS,
    Recipe,
    get_recipe,
)


def test_recipes_are_found_under_their_own_names():
    assert all(get_recipe(name).name == name for name in RECIPES)


def test_an_unknown_recipe_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no recipe 'swin'; choose one of: swin-keras, swin-drop"):
        get_recipe("swin")


def test_no_recipe_takes_the_name_of_another():
    """A dict of them would keep the last one only."""
    assert len(RECIPES) == len(ALL)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_can_be_kept_in_a_record(recipe):
    kept = recipe.to_dict()
    assert json.loads(json.dumps(kept)) == kept
    assert Recipe.from_dict(kept) == recipe
    assert kept["model"]["num_classes"] == recipe.model.num_classes
    assert [each["class"] for each in kept["transforms"]] == [
        type(each).__name__ for each in recipe.transforms
    ]
    published = recipe.published and {"class": "Published", **asdict(recipe.published)}
    assert kept["published"] == published


def test_parameters_are_those_that_other_tests_count():
    counts = [
        (getattr(swin if "SWIN" in name else vit, name), count)
        for name, count in PARAMETERS.items()
    ]
    for recipe in RECIPES.values():
        if not recipe.name.startswith("ladder-"):
            found = [count for model, count in counts if model == recipe.model]
            assert found == [recipe.parameters]


@pytest.fixture(scope="module")
def rungs():
    """The models of the ladder, under their recipes' names."""
    return {recipe.name: build_model(recipe) for recipe in LADDER}


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": "best epoch"},
        {"epochs": 0},
        {"batch_size": 1.5},
        {"passes": 0},
        {"label_smoothing": 1},
        {"validation_fraction": -0.1},
        {"validation_fraction": 0},
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_trained_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name} must be "):
        replace(get_recipe("swin-keras"), **wrong)


@pytest.mark.parametrize("recipe", LADDER, ids=lambda recipe: recipe.name)
def test_the_ladder_counts_its_parameters(rungs, recipe):
    weights = rungs[recipe.name].trainable_weights
    assert recipe.parameters == sum(int(np.prod(weight.shape)) for weight in weights)


def test_the_rungs_are_of_one_size(rungs):
    """But for shifted patches, whose weights and work are a part of what they bring."""
    vit = get_recipe("ladder-vit")
    for recipe in LADDER:
        macs = count_macs(rungs[recipe.name]) / count_macs(rungs[vit.name])
        most = 1.09 if recipe.name in ("ladder-s-vit", "ladder-sl-vit") else 1.03
        assert 0.97 < recipe.parameters / vit.parameters < most
        assert 0.85 < macs < most


@pytest.mark.parametrize("recipe", LADDER_BY_SIZE, ids=lambda recipe: recipe.name)
def test_fewer_images_are_seen_in_as_many_steps(recipe):
    whole = get_recipe(recipe.name.rpartition("-")[0])
    steps = recipe.steps_per_epoch(recipe.train_images)
    assert steps == pytest.approx(whole.steps_per_epoch(45_000), abs=1)
    assert (recipe.epochs, recipe.model) == (whole.epochs, whole.model)


VARIED = {"e-3": "learning_rate", "e-4": "weight_decay", "-mixed": "mixing"}


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith((*VARIED,))])
def test_a_variant_changes_what_it_is_named_after(name):
    recipe = get_recipe(name)
    original = get_recipe(re.sub(r"-mixed|(-decay)?-\d+e-\d", "", name))
    changed = {name for name in vars(recipe) if getattr(recipe, name) != getattr(original, name)}
    (field,) = [field for suffix, field in VARIED.items() if name.endswith(suffix)]
    assert changed - {"name", "summary"} == {field}


def test_the_swin_of_the_example_is_fixed_one_change_at_a_time():
    steps = [
        {name for name in vars(after) if getattr(before, name) != getattr(after, name)}
        - {"name", "summary", "published"}
        for before, after in pairwise(SWIN_STEPS)
    ]
    expected = [{"model"}, {"transforms"}, {"shuffle"}, {"transforms"}]
    assert steps == [*expected, {"schedule", "weight_decay"}]  # a schedule has its own decay


def test_a_fixed_example_takes_no_more_than_the_example():
    for fixed, example in (("swin-fixed", "swin-keras"), ("sl-vit-fixed", "sl-vit-keras")):
        fixed, example = get_recipe(fixed), get_recipe(example)
        assert fixed.parameters <= example.parameters
        assert fixed.epochs == example.epochs


def test_weight_decay_of_the_vit_example_in_both_units():
    published, as_keras_reads_it = get_recipe("vit-keras"), get_recipe("vit-keras-decay-1e-4")
    assert published.learning_rate * published.weight_decay == pytest.approx(1e-4)
    assert as_keras_reads_it.weight_decay == 1e-4


def test_only_the_paper_reports_the_best_epoch_and_holds_no_images_out():
    for recipe in RECIPES.values():
        if "-paper" in recipe.name:
            assert (recipe.protocol, recipe.validation_fraction) == (BEST_EPOCH, 0)
        else:
            assert (recipe.protocol, recipe.validation_fraction) == (LAST_EPOCH, 0.1)
