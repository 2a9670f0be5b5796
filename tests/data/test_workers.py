"""Tests of worker processes in a process of their own, which is interrupted and killed."""

import os
import re
import signal
import subprocess
import sys
import time
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np
import pytest

from smallvit.data.batches import WORKER_KILLED, Batches
from smallvit.data.transforms import UNIT_RANGE
from smallvit.data.workers import start_workers

SLOW = """
import os, time
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Slow:
    random: ClassVar[bool] = False

    def __call__(self, images, rng):
        with open(os.path.join(os.path.dirname(__file__), "workers"), "a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(600)
        return images
"""

MAIN = """
import numpy as np
from slow import Slow
from smallvit.data.batches import Batches
from smallvit.data.workers import start_workers

if __name__ == "__main__":
    images, labels = np.zeros((64, 4, 4, 3), np.uint8), np.zeros(64, int)
    try:
        with start_workers(2) as pool:
            how = {"num_classes": 2, "transforms": (Slow(),), "batch_size": 4}
            Batches(images, labels, pool=pool, **how)[0]
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.fixture
def run(tmp_path):
    """A process whose two workers have begun batches that take ten minutes, and their ids."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "main.py").write_text(MAIN)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "main.py"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = tmp_path / "workers"
    try:
        wait_until(lambda: workers.exists() and len(workers.read_text().split()) == 2, 300)
        yield process, [int(word) for word in workers.read_text().split()]
    finally:
        if process.poll() is None:
            process.kill()


def wait_until(true, seconds):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def is_running(pid):
    """Whether there is such a process; one that has ended and waits to be counted is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads Linux's /proc")


@linux
def test_workers_end_with_a_parent_that_is_killed(run):
    process, workers = run
    assert all(map(is_running, workers))
    process.kill()
    wait_until(lambda: not any(map(is_running, workers)), 60)  # and not at the end of a batch


@linux
def test_ctrl_c_ends_at_once_and_only_the_parent_says_so(run):
    process, workers = run
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to all of them.
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "stopped\n")
    assert "Traceback" not in err and "KeyboardInterrupt" not in err
    assert not any(map(is_running, workers))


@linux
def test_workers_ignore_ctrl_c_from_their_first_moment():
    others = set(active_children())
    with start_workers(2):
        for worker in set(active_children()) - others:
            status = Path(f"/proc/{worker.pid}/status").read_text()
            ignored = int(re.search(r"^SigIgn:\s*(\w+)", status, re.MULTILINE)[1], 16)
            assert ignored >> (signal.SIGINT - 1) & 1


def test_a_killed_worker_is_reported_in_a_sentence_and_its_batches_made_all_the_same(capsys, rng):
    images, labels = rng.integers(0, 256, (400, 4, 4, 3), dtype=np.uint8), np.zeros(400, int)
    how = {"num_classes": 2, "transforms": (UNIT_RANGE,), "batch_size": 4}
    expected = Batches(images, labels, **how)
    with start_workers(2) as pool:
        batches = Batches(images, labels, pool=pool, **how)
        for index in range(len(batches)):
            if index == 3:
                for worker in list(pool._processes):
                    os.kill(worker, signal.SIGKILL)
            np.testing.assert_array_equal(batches[index][0], expected[index][0])
    message = capsys.readouterr().err
    assert message.count("\n") == 2 and WORKER_KILLED in message


def test_all_workers_start_at_once_and_none_is_left():
    """One that started later would not be killed, and could wait for ever for the others."""
    others = set(active_children())
    with start_workers(3):
        workers = set(active_children()) - others
        assert len(workers) == 3
    assert not any(worker.is_alive() for worker in workers)


def test_no_workers_no_pool():
    with start_workers(0) as pool:
        assert pool is None


def test_processes_of_others_are_left_alone():
    other = get_context("spawn").Process(target=time.sleep, args=(60,))
    with start_workers(1):
        other.start()
    other.join(1)
    assert other.is_alive()
    other.kill()
