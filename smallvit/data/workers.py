"""Processes that make batches ready; without Keras, which they need not import."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context, parent_process


@contextlib.contextmanager
def start_workers(count: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes for `Batches`, ended afterwards at once, whatever they are doing.

    They are not threads because Pillow makes those wait for one another, and not forked because
    JAX and TensorFlow do not survive a fork. They end with their parent, however it ends, and leave
    Ctrl-C to it.

    Args:
        count: how many; with 0, the pool is `None`.
    """
    if not count:
        yield None
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_end_with_the_parent
    )
    with _interrupts_ignored():
        for _ in range(count):  # Each call starts a process, as none is idle yet.
            pool.submit(int)
        workers = set(active_children()) - others
    try:
        yield pool
    finally:
        for worker in workers:
            worker.kill()
        pool.shutdown(cancel_futures=True)  # waits for what is left of them


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C for good, from their first moment on."""
    if threading.current_thread() is not threading.main_thread():  # It may not set signals.
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_the_parent() -> None:
    def wait() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
