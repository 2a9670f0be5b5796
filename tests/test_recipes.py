import json

import pytest

from smallvit.recipes import RECIPES, get_recipe


def test_recipes_are_found_under_their_own_names():
    assert all(get_recipe(name).name == name for name in RECIPES)


def test_an_unknown_recipe_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no recipe 'swin'; choose one of: swin-keras"):
        get_recipe("swin")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_can_be_kept_in_a_record(recipe):
    kept = json.loads(json.dumps(recipe.to_dict()))
    assert kept["model"]["embed_dim"] == recipe.model.embed_dim
    assert kept["published"]["top1"] == recipe.published.top1
