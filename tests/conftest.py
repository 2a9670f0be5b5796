import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Most of a test's time is compiling a step that runs a few times.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import keras
import numpy as np
import pytest

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every program
# that a test starts in order to interrupt it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What computes nothing with a backend gives the same on each, and is tested on one of them.
if keras.backend.backend() != "tensorflow":
    collect_ignore = [
        "book",
        "colab",
        "repository",
        "data/test_autoaugment.py",
        "data/test_cifar.py",
        "data/test_datasets.py",
        "data/test_mixing.py",
        "data/test_shapes.py",
        "layers/test_masks.py",
        "layers/test_position.py",
        "layers/test_sizes.py",
        "training/test_last_words.py",
        "training/test_records.py",
    ]

LONGEST_FILES = {
    "test_callbacks.py",
    "test_loop.py",
    "test_main.py",
    "test_processes.py",
    "test_runtime.py",
    "test_swin.py",
}


def pytest_collection_modifyitems(items):
    """Begin with the longest files: the process that gets one late keeps all others waiting."""
    items.sort(key=lambda item: item.path.name not in LONGEST_FILES)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def fixed_seed_and_float32():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
