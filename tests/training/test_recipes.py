import json
from dataclasses import asdict

import pytest
from samples import PARAMETERS

from smallvit.models import swin, vit
from smallvit.training.recipes import BEST_EPOCH, LAST_EPOCH, RECIPES, get_recipe


def test_recipes_are_found_under_their_own_names():
    assert all(get_recipe(name).name == name for name in RECIPES)


def test_an_unknown_recipe_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no recipe 'swin'; choose one of: swin-keras, swin-fixed"):
        get_recipe("swin")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_can_be_kept_in_a_record(recipe):
    kept = json.loads(json.dumps(recipe.to_dict()))
    assert kept["model"]["patch_size"] == recipe.model.patch_size
    assert [step["step"] for step in kept["steps"]] == [type(s).__name__ for s in recipe.steps]
    assert kept["published"] == (recipe.published and asdict(recipe.published))


def test_parameters_are_those_that_other_tests_count():
    counts = [
        (getattr(swin if "SWIN" in name else vit, name), count)
        for name, count in PARAMETERS.items()
    ]
    for recipe in RECIPES.values():
        assert [count for model, count in counts if model == recipe.model] == [recipe.parameters]


@pytest.mark.parametrize("name", [name for name in RECIPES if name.endswith(("e-3", "e-4"))])
def test_a_variant_has_the_model_of_what_it_varies(name):
    recipe, original = get_recipe(name), get_recipe(name.rsplit("-", 2)[0].removesuffix("-decay"))
    assert (recipe.model, recipe.parameters) == (original.model, original.parameters)


def test_a_mended_example_takes_no_more_than_the_example():
    for mended, example in (("swin-fixed", "swin-keras"), ("sl-vit-fixed", "sl-vit-keras")):
        mended, example = get_recipe(mended), get_recipe(example)
        assert mended.parameters <= example.parameters
        assert mended.epochs == example.epochs


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
