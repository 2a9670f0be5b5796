"""One side of the benchmark: `python -m benchmarks.side ours swin-keras 128 float32`.

A last word `distribute` spreads our batches over the CPU's cores.

It answers each line on standard input with a line of JSON on standard output: `prepare` with facts
about the model, `step N` with the seconds that each of N training steps took, `multiply N` with
the multiply-accumulates per second of N x N matrices, `finish` with the bytes of memory it has held
at most.
"""

import json
import resource
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from benchmarks import published_swin, published_vit
from smallvit.layers.patches import patchify
from smallvit.models.cost import count_macs, count_parameters
from smallvit.training.build import build_model, compile_model
from smallvit.training.recipes import get_recipe
from smallvit.training.records import describe_versions
from smallvit.training.runtime import Session, device_settings, find_devices

PUBLISHED = {"swin-keras": published_swin, "sl-vit-keras": published_vit}
WARM_UP_STEPS = 2


def main(side: str, model: str, batch_size: int, session: Session) -> None:
    """Answer requests until `finish`."""
    if session.distribute:
        find_devices({batch_size})
    with device_settings(session):
        answer_requests(side, model, batch_size)


def answer_requests(side: str, model: str, batch_size: int) -> None:
    """Read requests from standard input, a line each, and print what they ask for."""
    step = None
    for line in sys.stdin:
        request, *number = line.split()
        if request == "prepare":
            step, answer = prepare(side, model, batch_size)
        elif request == "step":
            answer = [measure_seconds(step) for _ in range(int(number[0]))]
        elif request == "multiply":
            answer = measure_macs_per_second(int(number[0]))
        else:
            answer = measure_peak_bytes()
        print(json.dumps(answer), flush=True)
        if request == "finish":
            return


def prepare(side: str, name: str, batch_size: int) -> tuple[Callable[[], None], dict]:
    """Build, compile and warm up a model.

    Args:
        side: `"ours"` or `"published"`.
        name: `"swin-keras"` or `"sl-vit-keras"`.
        batch_size: images per step.

    Returns:
        A function that takes one training step, and facts about the model.
    """
    model = build_ours(name) if side == "ours" else PUBLISHED[name].build_compiled()
    rng = np.random.default_rng(0)
    size = 32 if name == "swin-keras" else 72
    inputs = rng.random((batch_size, size, size, 3), "float32")
    if len(model.input.shape) == 3:  # the published Swin starts from patches
        inputs = ops.convert_to_numpy(patchify(inputs, 2)).reshape(batch_size, 256, 12)
    labels = rng.integers(0, 100, batch_size)
    if not isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy):
        labels = np.eye(100, dtype="float32")[labels]

    def step() -> None:
        model.train_on_batch(inputs, labels)

    for _ in range(WARM_UP_STEPS):
        step()
    facts = {
        "parameters": count_parameters(model),
        "macs": count_macs(model) if side == "ours" else None,
        "backend": keras.backend.backend(),
        "versions": describe_versions(),
    }
    return step, facts


def build_ours(name: str) -> keras.Model:
    """Build and compile a recipe's model as the trainer does."""
    recipe = get_recipe(name)
    model = build_model(recipe)
    compile_model(model, recipe, num_images=45_000)
    return model


def measure_seconds(step: Callable[[], None]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def measure_macs_per_second(size: int) -> float:
    """How fast this backend multiplies float32 matrices `(size, size)`, the best of three times."""
    matrix = ops.ones((size, size))

    def multiply() -> None:
        float(ops.matmul(matrix, matrix)[0, 0])  # waits for the product

    return size**3 / min(measure_seconds(multiply) for _ in range(3))


def measure_peak_bytes() -> int:
    """The most memory that this process has held at a time."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts in kilobytes


if __name__ == "__main__":
    side, model, batch_size, precision, *how = sys.argv[1:]
    session = Session(precision=precision, distribute="distribute" in how)
    main(side, model, int(batch_size), session)
