import inspect
import subprocess
import sys
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from keras import ops
from samples import SMALL_SWIN, SMALL_VIT

import smallvit

WITHOUT_THE_BOOKS_PACKAGES = """
import sys

for package in ("matplotlib", "ipywidgets", "IPython"):
    sys.modules[package] = None  # importing it now raises ImportError

import numpy as np

import smallvit

things = [getattr(smallvit, name) for name in smallvit.__all__]
swin = smallvit.SwinConfig(image_size=8, embed_dim=4, depths=(2,), num_heads=(2,), window_size=2)
vit = smallvit.VitConfig(image_size=8, depth=1, num_heads=2, key_dim=4)
images = np.zeros((2, 8, 8, 3), "float32")
print(smallvit.swin_transformer(swin)(images).shape[1])
print(smallvit.vision_transformer(vit)(images).shape[1])
"""


def run_python(code, folder=None):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


def own_docstring(thing):
    """What somebody wrote for this thing itself: not its parent's, nor a dataclass's signature."""
    written = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    return written if written and not written.startswith(f"{thing.__name__}(") else None


@pytest.mark.parametrize("name", smallvit.__all__)
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(smallvit, name)
    assert name in dir(smallvit)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert own_docstring(thing)


def test_neither_a_parents_docstring_nor_a_generated_one_counts():
    class Inherits(keras.layers.Dense):
        pass

    @dataclass
    class Generates:
        size: int

    assert inspect.getdoc(Inherits) and Generates.__doc__
    assert own_docstring(Inherits) is None
    assert own_docstring(Generates) is None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'window'"):
        _ = smallvit.window


def test_importing_the_package_does_not_import_keras_or_tensorflow():
    check = "import smallvit, sys; print({'keras', 'tensorflow'} & sys.modules.keys())"
    assert run_python(check) == "set()\n"


def test_everything_public_works_without_what_only_the_book_needs():
    assert run_python(WITHOUT_THE_BOOKS_PACKAGES).split() == ["100", "100"]


LOADS = """
import numpy as np
{imports}

for name in ("swin", "vit"):
    model = keras.saving.load_model(f"{{name}}.keras")
    np.save(f"{{name}}_again.npy", keras.ops.convert_to_numpy(model(np.load(f"{{name}}.npy"))))
"""


def test_a_saved_model_loads_wherever_the_package_is_imported(rng, tmp_path):
    models = {
        "swin": smallvit.swin_transformer(replace(SMALL_SWIN, shifted_patches=True, locality=True)),
        "vit": smallvit.vision_transformer(SMALL_VIT),
    }
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", rng.random((2, *model.input.shape[1:])))
    for imports in ("import keras\nimport smallvit", "import smallvit\nimport keras"):
        run_python(LOADS.format(imports=imports), folder=tmp_path)
        for name, model in models.items():
            expected = ops.convert_to_numpy(model(np.load(tmp_path / f"{name}.npy")))
            again = np.load(tmp_path / f"{name}_again.npy")
            np.testing.assert_allclose(again, expected, atol=1e-6)
            (tmp_path / f"{name}_again.npy").unlink()
