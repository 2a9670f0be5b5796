import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Most of a test's time on JAX is compiling a step that runs once.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import keras
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def fixed_seed_and_float32():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
