import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Most of a test's time is compiling a step that runs a few times.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import keras
import numpy as np
import pytest

# What computes nothing with a backend gives the same on each, and is tested on one of them.
if keras.backend.backend() != "tensorflow":
    collect_ignore = [
        "book",
        "repository",
        "data/test_autoaugment.py",
        "data/test_cifar.py",
        "data/test_mixing.py",
        "data/test_shapes.py",
        "layers/test_masks.py",
        "layers/test_position.py",
        "layers/test_sizes.py",
    ]

LONGEST_FILES = {"test_loop.py", "test_main.py", "test_swin.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Begin with the longest files, and keep together the tests that share something.

    That is a notebook's kernel, or a fixture of a module. With `--dist loadgroup`, all other tests
    go one by one to whichever process is free.
    """
    items.sort(key=lambda item: item.path.name not in LONGEST_FILES)
    for item in items:
        if not isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
            continue
        fixtures = item._fixtureinfo.name2fixturedefs
        shared = [name for name, found in fixtures.items() if found[-1].scope == "module"]
        if shared:
            values = getattr(item, "callspec", None) and item.callspec.params
            chosen = [str(values[name]) for name in shared if values and name in values]
            item.add_marker(pytest.mark.xdist_group(":".join([item.path.name, *chosen])))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def fixed_seed_and_float32():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
