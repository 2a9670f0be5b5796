"""Measure how fast the input pipeline is, and how long a training step waits for it.

    python -m benchmarks.pipeline vit-paper --workers 0 1 2 4

For each number of worker processes: images per second that the pipeline makes when nothing else is
done, and then, with the recipe's model training on them, the share of the time in which the next
batch was not there yet. Images are synthetic, of CIFAR-100's size, which costs the same.
"""

import argparse
import time
from typing import Any

from smallvit.data.batches import Batches
from smallvit.data.datasets import paint_dataset
from smallvit.data.workers import start_workers
from smallvit.training.build import build_model, compile_model
from smallvit.training.recipes import get_recipe


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline", description=__doc__.splitlines()[0]
    )
    parser.add_argument("recipe", nargs="?", default="vit-paper", help="default: vit-paper")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--batches", type=int, default=40, help="to measure (default: 40)")
    parser.add_argument("--steps", type=int, default=4, help="to train (default: 4)")
    chosen = parser.parse_args(arguments)
    if chosen.steps >= chosen.batches:
        parser.error("--steps must be less than --batches")
    recipe = get_recipe(chosen.recipe)
    dataset = paint_dataset(-(-chosen.batches * recipe.batch_size // recipe.passes), 1)
    recipe = recipe.for_dataset(dataset)
    model = build_model(recipe)
    compile_model(model, recipe, len(dataset.train[0]))
    model.train_on_batch(*recipe.batches(*dataset.train, seed=0)[0])  # compiles
    print(f"{recipe.name}, batches of {recipe.batch_size}")
    for workers in chosen.workers:
        with start_workers(workers) as pool:
            batches = recipe.batches(*dataset.train, seed=0, pool=pool)
            rate = images_per_second(batches)
            waiting = waiting_share(model, batches, chosen.steps)
        print(
            f"{workers} workers: {rate:,.0f} images per second; "
            f"training waits {waiting:.1%} of its time",
            flush=True,
        )


def images_per_second(batches: Batches) -> float:
    """Images that the pipeline makes in a second, once its workers have started."""
    batches[len(batches) - 1]
    started = time.perf_counter()
    count = sum(len(images) for images, _ in batches)
    return count / (time.perf_counter() - started)


def waiting_share(model: Any, batches: Batches, steps: int) -> float:
    """Share of the time of some training steps in which the next batch was not there yet."""
    supply = iter(batches)
    waited, started = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(supply)
        waited += time.perf_counter() - asked
        model.train_on_batch(*batch)
    return waited / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
