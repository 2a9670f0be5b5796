"""A run spread over two processes of this machine."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from samples import TINY, tiny_dataset

from smallvit.training import processes
from smallvit.training.errors import TrainingError
from smallvit.training.loop import train
from smallvit.training.records import read_record

TESTS = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="JAX spreads runs over processes"
)


def test_processes_at_different_points_are_told_so(monkeypatch):
    from jax.experimental import multihost_utils

    monkeypatch.setattr(processes, "process_place", lambda: (0, 2))
    monkeypatch.setattr(multihost_utils, "process_allgather", lambda x: np.array([x, x]))
    processes.require_agreement("epoch", 3)
    monkeypatch.setattr(multihost_utils, "process_allgather", lambda x: np.array([x, x + 1]))
    with pytest.raises(TrainingError, match="The processes differ: give all the same command"):
        processes.require_agreement("epoch", 3)


# One process of two. It may stop after an epoch, or one may be killed at a step of the second,
# while the other is busy with something else than JAX.
SCRIPT = """
import os, signal, sys, time

folder, tests, stop, augment, dies = sys.argv[1:]
sys.path.insert(0, tests)
from pathlib import Path

from samples import TINY, tiny_dataset

import smallvit.__main__
from smallvit.training import loop
from smallvit.training.callbacks import Checkpoint
from smallvit.training.runtime import Session


class Killer(Checkpoint):
    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if dies and len(self.history) == 1 and batch == 4:
            if os.environ["KERAS_DISTRIBUTION_PROCESS_ID"] == dies:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(5)


loop.Checkpoint = Killer
session = Session(distribute=True, augment=augment, time_limit=1e-3 if stop else None)


def run(chosen):
    loop.train(TINY, tiny_dataset(), Path(folder), seed=3, session=session)
    return 0


smallvit.__main__._train = run
sys.exit(smallvit.__main__.main(["train", "tiny", "--distribute"]))
"""


def train_in_two(tmp_path, *, folders=("out", "out"), stop="", augment="host", dies=""):
    """Run both processes to their ends; their exit statuses and what they wrote to stderr."""
    script = tmp_path / "one_of_two.py"
    script.write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [
        subprocess.Popen(
            [sys.executable, script, tmp_path / folder, TESTS, stop, augment, dies],
            env={
                **os.environ,
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
                "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, folder in enumerate(folders)
    ]
    try:
        errors = [process.communicate(timeout=300)[1] for process in both]
    finally:
        for process in both:
            process.kill()
    return [process.returncode for process in both], errors


def test_two_processes_stopped_and_resumed_train_as_one(tmp_path):
    alone = train(TINY, tiny_dataset(), tmp_path / "alone", seed=3)

    assert train_in_two(tmp_path, stop="stop")[0] == [0, 0]
    record = tmp_path / "out" / "tiny" / "seed-3.json"
    assert len(read_record(record).history) == 1

    statuses, errors = train_in_two(tmp_path, augment="device")
    assert statuses == [0, 0], errors
    together = read_record(record)
    assert together.finished and together.weights
    for figure in ("loss", "val_loss"):
        losses = [[epoch[figure] for epoch in run.history] for run in (together, alone)]
        np.testing.assert_allclose(*losses, rtol=1e-3)
    assert sorted(path.name for path in record.parent.iterdir()) == [
        "seed-3.csv",
        "seed-3.json",
        "seed-3.weights.h5",
    ]


@pytest.mark.parametrize("dies", [0, 1])
def test_a_killed_process_ends_the_other_with_one_sentence_and_only_the_first_writes(
    tmp_path, dies
):
    statuses, errors = train_in_two(tmp_path, folders=("out", "elsewhere"), dies=str(dies))
    assert statuses[dies] == -signal.SIGKILL and statuses[1 - dies] not in (0, -signal.SIGKILL)
    (line,) = errors[1 - dies].splitlines()
    assert line.startswith("smallvit: ") and "another" in line.lower() and "has ended" in line
    assert (tmp_path / "out" / "tiny" / "seed-3" / "state.npz").exists()
    assert not (tmp_path / "elsewhere").exists()
