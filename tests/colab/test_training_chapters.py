"""The form of the training chapters, and that they train as the command line does."""

import ast
import contextlib
import json
import re
import sys
import types
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from smallvit.__main__ import main
from smallvit.data import datasets
from smallvit.training import loop, runtime

BOOK = Path(__file__).parents[2] / "book"
RECIPES = {"swin": ["swin-keras"], "vit": ["vit-keras", "sl-vit-keras"]}


def code_cells(chapter):
    notebook = nbformat.read(BOOK / chapter / "training.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("chapter", RECIPES)
def test_the_form_is_one_of_colabs_and_starts_as_quick(chapter):
    (form,) = [source for source in code_cells(chapter) if "@param" in source]
    comments, fields = form.splitlines()[::2], form.splitlines()[1::2]
    assert all(line.startswith("# ") for line in comments)
    defaults = {}
    for field in fields:
        name, value, kind = re.fullmatch(r"(\w+) = (.+)  # @param (.+)", field).groups()
        defaults[name], kind = ast.literal_eval(value), json.loads(kind)
        if kind == ["quick", "five epochs", "full"]:
            assert defaults[name] in kind
        else:
            assert kind == {"type": "string" if isinstance(defaults[name], str) else "boolean"}
    assert defaults == {"MODE": "quick", "FOLDER": "runs", "DRIVE": False}


@pytest.fixture
def begun(monkeypatch):
    """A GPU without bfloat16, drawn images, and every run that is begun instead of trained.

    Each as the recipe planned, the dataset, the run's folder, its settings and its session.
    """
    begun, train = [], loop.train

    class Begun(Exception):
        pass

    def begin(*run):
        begun.append(run)
        raise Begun

    def begin_only(*arguments, **options):
        with contextlib.suppress(Begun):
            train(*arguments, **options)
        return types.SimpleNamespace(history=[], seconds=0, finished=False, commit="")

    images = datasets.paint_dataset(20, 10)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: images)
    monkeypatch.setattr(loop, "_fit", begin)
    monkeypatch.setattr(loop, "train", begin_only)
    monkeypatch.setattr(runtime, "on_cpu", lambda: False)
    monkeypatch.setattr(runtime, "output_of", lambda *command: "7.5")
    monkeypatch.setattr("smallvit.__main__._summary", lambda *_: "")
    return begun


def run_chapter(chapter, **form):
    """Run what leads up to the training of a chapter, with its form filled in."""
    needed = r"import |@param|MODE|get_recipe|split_validation|train\("
    names = {}
    for source in code_cells(chapter):
        if not re.search(needed, source):
            continue
        for name, value in form.items():
            source = re.sub(
                rf"^{name} = .+(?=  # @param)", f"{name} = {value!r}", source, flags=re.M
            )
        exec(TransformerManager().transform_cell(source), names)
        if "train(" in source:
            return
    pytest.fail(f"{chapter} does not call train")


@pytest.mark.parametrize("chapter", RECIPES)
@pytest.mark.parametrize(("mode", "option"), [("full", []), ("five epochs", ["--epochs", "5"])])
def test_a_chapter_trains_as_the_command_line_does(begun, tmp_path, chapter, mode, option):
    run_chapter(chapter, MODE=mode, FOLDER=str(tmp_path))
    from_chapter = list(begun)
    begun.clear()
    for recipe in RECIPES[chapter]:
        arguments = ["--data", "DIR", "--out", str(tmp_path / mode), *option]
        assert main(["train", recipe, *arguments]) == 3
    assert [recipe.name for recipe, *_ in begun] == RECIPES[chapter]
    assert from_chapter == begun
    *_, session = begun[0]
    assert (session.precision, session.steps_per_call) == ("mixed_float16", 16)


def test_on_a_drive_the_runs_are_kept_there(begun, tmp_path, monkeypatch):
    from smallvit.training import files

    colab = types.ModuleType("google.colab")
    colab.drive = types.SimpleNamespace(mount=lambda folder: Path(folder).mkdir())
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(files, "GOOGLE_DRIVE", tmp_path / "drive")
    monkeypatch.setattr(Path, "is_mount", Path.is_dir)
    run_chapter("swin", MODE="full", DRIVE=True)
    ((_, _, run, *_),) = begun
    assert run == tmp_path / "drive" / "MyDrive" / "runs" / "full" / "swin-keras" / "seed-0"
