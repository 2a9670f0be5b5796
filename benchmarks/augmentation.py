"""Measure augmentation on the host and on the device: images per second, batch by batch in turns.

    python -m benchmarks.augmentation

On the host, NumPy makes a batch in one process. On the device, NumPy draws, and AutoAugment and
what precedes it stay with NumPy, too (left column); the rest is one compiled function (middle). The
last column is for one after the other. On a CPU the device is the same processor, and the compiled
function may use all cores; an accelerator, on which this has not been tried, works while NumPy
prepares the next batch. Images are synthetic, of CIFAR-100's size, which costs the same.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from smallvit.data.batches import OnDevice
from smallvit.data.datasets import paint_dataset
from smallvit.training.recipes import get_recipe
from smallvit.training.runtime import describe_device, gains_by_xla


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation", description=__doc__.splitlines()[0]
    )
    parser.add_argument("recipes", nargs="*", default=["vit-keras", "swin-paper"])
    parser.add_argument("--batches", type=int, default=20, help="to measure (default: 20)")
    chosen = parser.parse_args(arguments)
    print(f"{keras.backend.backend()}, {describe_device()}; images per second, medians")
    print(f"{'recipe':12} {'host':>8} {'device: NumPy':>14} {'compiled':>9} {'both':>8}")
    for name in chosen.recipes:
        host, draws, compiled = (seconds_per_image(name, chosen.batches)).T
        columns = (host, draws, compiled, draws + compiled)
        rates = [1 / statistics.median(seconds) for seconds in columns]
        print("{:12} {:8,.0f} {:14,.0f} {:9,.0f} {:8,.0f}".format(name, *rates), flush=True)


def seconds_per_image(name: str, count: int) -> np.ndarray:
    """Time a recipe's batches `(count, 3)`: on the host, and both parts of the other path.

    Raises:
        AssertionError: if the two paths do not make the same images.
    """
    recipe = get_recipe(name)
    dataset = paint_dataset(2 * recipe.batch_size, 1)
    recipe = recipe.for_dataset(dataset)
    model = OnDevice(keras.layers.Identity(), recipe.transforms, recipe.mixing)
    model.compile(jit_compile=gains_by_xla("float32"))
    seconds = []
    for seed in range(count + 1):
        ready, left = (
            recipe.batches(*dataset.train, seed=seed, on_device=there) for there in (False, True)
        )
        host, (expected, _) = measure(ready.__getitem__, 0)
        draws, (inputs, _) = measure(left.__getitem__, 0)
        compiled, images = measure(model.predict_on_batch, inputs)
        np.testing.assert_allclose(images, expected, atol=1e-4)
        seconds.append((host, draws, compiled))
    return np.array(seconds[1:]) / recipe.batch_size  # the first one compiles


def measure(function: Callable[[Any], Any], argument: Any) -> tuple[float, Any]:
    """The seconds that a call takes, and what it returns."""
    started = time.perf_counter()
    result = function(argument)
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
