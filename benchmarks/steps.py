"""Time a training step of this package against one of the published example code.

    python -m benchmarks.steps --out steps.json
    KERAS_BACKEND=jax python -m benchmarks.steps --distribute --out steps-jax.json

For each model two processes are started, one for each side, and take turns: a few steps of the
one, then as many of the other, round after round, so that whatever else the machine does hits both
alike. A table shows each side's median step and peak memory, the ratio of the two (ours over
published, the median over rounds), and the floor: what a step would take if it were nothing but
the products of matrices that `count_macs` counts, three times over for the backward pass, at the
rate at which this machine multiplied large matrices between the rounds. Times are reported and
never judged.

`--precision` and `--distribute` do what they do for `python -m smallvit train`, to our side alone:
the published code knows neither.

Neither side augments: the published ViT does so in its first layers, the published Swin in its
data pipeline, this package in its own. Cutting patches is inside our Swin and outside the
published one. Dropout, loss, optimizer and metrics are inside.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from smallvit.training.runtime import PRECISIONS, count_cores

BATCH_SIZES = {"swin-keras": 128, "sl-vit-keras": 256}
SIDES = ("ours", "published")
MATRIX_SIZE = 2048


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.steps", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, help="file to write the figures to, as JSON")
    parser.add_argument(
        "--models", nargs="+", choices=BATCH_SIZES, default=list(BATCH_SIZES), help="what to time"
    )
    parser.add_argument("--rounds", type=int, default=10, help="turns per side (default: 10)")
    parser.add_argument("--steps", type=int, default=3, help="steps in a turn (default: 3)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of our side (default: float32, as the published side)",
    )
    parser.add_argument(
        "--distribute",
        action="store_true",
        help="spread our side's batches over the CPU's cores (JAX)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="two images, two turns: only to try it"
    )
    chosen = parser.parse_args(arguments)
    options = [chosen.precision, *(["distribute"] if chosen.distribute else [])]
    rows = []
    for model in chosen.models:
        if chosen.quick:
            row = compare(model, options, batch_size=2, rounds=2, steps=1, matrix_size=64)
        else:
            row = compare(
                model, options, BATCH_SIZES[model], chosen.rounds, chosen.steps, MATRIX_SIZE
            )
        rows.append(row)
        print(as_table(row), flush=True)
    if chosen.out:
        chosen.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def compare(
    model: str, options: list[str], batch_size: int, rounds: int, steps: int, matrix_size: int
) -> dict:
    """Time both sides of one model in turns.

    Args:
        model: a name from `BATCH_SIZES`.
        options: our side's precision, and `"distribute"` if its batches are spread.
        batch_size: images per step.
        rounds: turns each side gets.
        steps: steps in a turn.
        matrix_size: side of the matrices whose product gives the rate.

    Returns:
        The figures: times in seconds, memory in bytes, rates in multiply-accumulates per second.
    """
    children = {
        "ours": Child("ours", model, batch_size, *options),
        "published": Child("published", model, batch_size, "float32"),
    }
    facts = {side: child.ask("prepare") for side, child in children.items()}
    turns: dict[str, list[list[float]]] = {side: [] for side in SIDES}
    rates = []
    for number in range(rounds):
        rates.append(children["ours"].ask(f"multiply {matrix_size}"))
        for side in SIDES if number % 2 else reversed(SIDES):
            turns[side].append(children[side].ask(f"step {steps}"))
    macs = 3 * batch_size * facts["ours"]["macs"]
    return {
        "model": model,
        "batch_size": batch_size,
        "options": options,
        "backend": facts["ours"]["backend"],
        "versions": facts["ours"]["versions"],
        "cpus": count_cores(),
        "ratio": statistics.median(
            statistics.median(ours) / statistics.median(published)
            for ours, published in zip(turns["ours"], turns["published"], strict=True)
        ),
        "macs_per_step": macs,
        "macs_per_second": max(rates),
        "floor_seconds": macs / max(rates),
        "sides": {
            side: {
                "parameters": facts[side]["parameters"],
                "median_seconds": statistics.median(chain(*turns[side])),
                "least_seconds": min(chain(*turns[side])),
                "seconds": turns[side],
                "peak_bytes": children[side].finish(),
            }
            for side in SIDES
        },
    }


def as_table(row: dict) -> str:
    """One model's figures for people."""
    lines = [
        f"{row['model']}, batch {row['batch_size']}, {row['backend']}, "
        f"ours {' '.join(row['options'])}",
        f"  {'':10}{'median s':>10}{'least s':>10}{'peak MiB':>10}{'parameters':>12}",
    ]
    for side, figures in row["sides"].items():
        lines.append(
            f"  {side:10}{figures['median_seconds']:10.3f}{figures['least_seconds']:10.3f}"
            f"{figures['peak_bytes'] / 2**20:10.0f}{figures['parameters']:12,}"
        )
    return "\n".join(
        [
            *lines,
            f"  {'ratio':10}{row['ratio']:10.3f}",
            f"  {'floor':10}{row['floor_seconds']:10.3f}",
        ]
    )


class Child:
    """A process of `benchmarks.side`.

    Args:
        side: `"ours"` or `"published"`.
        model: a name from `BATCH_SIZES`.
        batch_size: images per step.
        options: a precision, and `"distribute"` where batches are to be spread.
    """

    def __init__(self, side: str, model: str, batch_size: int, *options: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.side", side, model, str(batch_size), *options],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
        )

    def ask(self, request: str) -> Any:
        """Send one request, wait, and return the answer.

        Raises:
            RuntimeError: if the process has stopped.
        """
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("One side of the benchmark has stopped; its error is above.")
        return json.loads(answer)

    def finish(self) -> int:
        """End the process; return the most bytes that it has held."""
        peak = self.ask("finish")
        self.process.communicate()
        return peak


if __name__ == "__main__":
    main()
