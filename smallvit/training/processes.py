"""Several processes that train one run together, on one machine or more: JAX only.

Each has a number, and process 0 alone writes. Without others, all of this does nothing.
"""

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from smallvit.training.errors import OtherRunError, TrainingError, first_line
from smallvit.training.files import run_lock


def process_place() -> tuple[int, int]:
    """This process's number, and how many train the run: `(0, 1)` if it is alone."""
    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def any_process(condition: bool) -> bool:
    """Whether a condition holds in any process, so that all of them take the same branch."""
    if process_place()[1] == 1:
        return condition
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(condition)).any())


def require_agreement(*facts: object) -> None:
    """Check that the processes are at the same point of the same run.

    Args:
        *facts: what must be equal in all of them, as `repr` shows it.

    Raises:
        TrainingError: in all of them, if they are not.
    """
    if process_place()[1] == 1:
        return
    from jax.experimental import multihost_utils

    digest = np.uint32(zlib.crc32(repr(facts).encode()))
    if len(set(multihost_utils.process_allgather(digest).tolist())) > 1:
        raise TrainingError(
            "The processes differ: give all the same command, data, code and --out folder."
        )


@contextlib.contextmanager
def sharing_fate() -> Iterator[None]:
    """Say in one sentence that another process of the run has ended.

    Raises:
        TrainingError: in place of a `RuntimeError`, in which JAX reports it, if there are others.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, TrainingError) or process_place()[1] == 1:
            raise
        raise TrainingError(
            "This process has failed, or another of the run has ended "
            f"({first_line(error)}); start all of them again to continue after the "
            "last finished epoch."
        ) from error


@contextlib.contextmanager
def shared_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder, as `run_lock` does, for all of its processes.

    Raises:
        TrainingError: in all of them, if process 0, which writes, cannot have the folder.
    """
    refused = None
    with contextlib.ExitStack() as stack:
        if process_place()[0] == 0:
            try:
                stack.enter_context(run_lock(folder))
            except OtherRunError as error:
                refused = error
            except OSError as error:
                refused = TrainingError(
                    f"{folder} cannot be written to ({error.strerror}); give another --out, or "
                    "make it writable."
                )
        if any_process(refused is not None):
            raise refused or OtherRunError(f"Process 0 cannot have {folder}; see what it says.")
        yield


class Share(keras.utils.PyDataset):
    """This process's part of each batch; each prepares the whole, from the same random numbers.

    Args:
        batches: arrays `(batch, ...)`, nested or not; the number of processes divides `batch`.
    """

    def __init__(self, batches: keras.utils.PyDataset):
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple:
        process, count = process_place()
        return keras.tree.map_structure(
            lambda array: np.split(array, count)[process], self.batches[index]
        )

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def share(batches: keras.utils.PyDataset) -> keras.utils.PyDataset:
    """This process's `Share` of the batches; all of them if it is alone."""
    return Share(batches) if process_place()[1] > 1 else batches
