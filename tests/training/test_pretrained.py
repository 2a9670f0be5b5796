from dataclasses import replace

import keras
import numpy as np
import pytest
from samples import TINY

import smallvit
from smallvit.training import recipes
from smallvit.training.build import compile_model
from smallvit.training.pretrained import load_pretrained, load_run, predict, prepare_images
from smallvit.training.records import record_path, results_folder, write_record


@pytest.fixture
def run(finished, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, TINY.name, TINY)
    return finished


def test_a_run_can_be_loaded_and_is_as_good_as_its_record_says(run, dataset):
    folder, record = run
    model = smallvit.load_pretrained("tiny", seed=3, results=folder)
    compile_model(model, TINY, num_images=100)
    figures = model.evaluate(TINY.batches(*dataset.test), return_dict=True, verbose=0)
    for name, value in record.test.items():
        assert figures[name] == pytest.approx(value, rel=1e-5), name


def test_images_are_prepared_as_for_the_runs_evaluation(run, dataset):
    folder, _ = run
    images, labels = dataset.test
    expected, _ = TINY.for_dataset(dataset).batches(images, labels)[0]
    prepared = prepare_images(images, "tiny", seed=3, results=folder)
    np.testing.assert_array_equal(prepared[: len(expected)], expected)


def test_images_of_another_size_or_type_are_refused(run, dataset):
    folder, _ = run
    images, _ = dataset.test
    with pytest.raises(ValueError, match=r"^tiny was trained on images \(n, 8, 8, 3\); got \(8"):
        prepare_images(images[0], "tiny", seed=3, results=folder)
    with pytest.raises(ValueError, match="uint8"):
        prepare_images(images / 255, "tiny", seed=3, results=folder)


def test_what_is_not_kept_is_refused_in_one_sentence_that_says_what_to_run(run):
    folder, _ = run
    with pytest.raises(ValueError, match=r"run `python -m smallvit train tiny --seed 4 --out"):
        load_pretrained("tiny", seed=4, results=folder)
    with pytest.raises(ValueError, match="There is no recipe 'swin-kears'"):
        load_pretrained("swin-kears")


def test_an_image_that_is_not_there_is_named_in_one_sentence(run):
    folder, _ = run
    record, model = load_run(record_path(folder / "tiny" / "seed-3"))
    with pytest.raises(ValueError, match=r"none\.png cannot be read: no such file"):
        predict(record, model, "none.png")


def test_weights_of_another_model_or_none_at_all_are_refused(run, tmp_path):
    _, record = run
    path = tmp_path / "tiny" / "seed-3.weights.h5"
    path.parent.mkdir()
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save_weights(path)
    write_record(path.with_name("seed-3.json"), record)
    with pytest.raises(ValueError, match="is damaged, or not of the run"):
        load_pretrained("tiny", seed=3, results=tmp_path)
    write_record(path.with_name("seed-3.json"), replace(record, weights=None))
    with pytest.raises(ValueError, match="does not fit the model that"):
        load_pretrained("tiny", seed=3, results=tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="does not fit the model that"):
        load_pretrained("tiny", seed=3, results=tmp_path)


def test_recorded_weights_are_small_and_load():
    paths = list(results_folder().glob("*/seed-*.weights.h5"))
    assert paths
    for path in paths:
        assert path.stat().st_size <= 2_000_000, path
        seed = int(path.name.removeprefix("seed-").removesuffix(".weights.h5"))
        model = load_pretrained(path.parent.name, seed)
        images = np.zeros((1, *model.input.shape[1:]), "float32")
        assert np.isfinite(keras.ops.convert_to_numpy(model(images))).all()
