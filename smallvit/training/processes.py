"""Several processes that train one run together, on one machine or more: JAX only.

Each has a number, and process 0 alone writes. Without others, all of this does nothing.
"""

import contextlib
import zlib
from collections.abc import Iterator

import keras
import numpy as np

from smallvit.training.files import TrainingError


def process_place() -> tuple[int, int]:
    """This process's number, and how many train the run: `(0, 1)` if it is alone."""
    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def any_process(condition: bool) -> bool:
    """Whether a condition holds in any process, so that all of them take the same way."""
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
            f"Another process of the run seems to have ended ({str(error).splitlines()[0][:90]}); "
            "start all of them again to continue after the last finished epoch."
        ) from error


class Share(keras.utils.PyDataset):
    """This process's part of each batch; each prepares the whole, from the same random numbers.

    Args:
        batches: arrays `(batch, ...)`; the number of processes divides `batch`.
    """

    def __init__(self, batches: keras.utils.PyDataset):
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        process, count = process_place()
        return tuple(np.split(array, count)[process] for array in self.batches[index])

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def share(batches: keras.utils.PyDataset) -> keras.utils.PyDataset:
    """This process's `Share` of the batches; all of them if it is alone."""
    return Share(batches) if process_place()[1] > 1 else batches
