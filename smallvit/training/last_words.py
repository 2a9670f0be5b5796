"""Stands between a process and its standard error, and shortens what JAX logs when it aborts.

If a process of a run ends, or does not start, JAX aborts the others, whatever Python is doing, with
a log of many lines. This program reads that log instead of people: `python last_words.py < pipe`.
"""

import sys
from collections.abc import Iterable
from typing import BinaryIO

SENTENCE = (
    b"smallvit: Another process of the run has ended, or did not start; start all of them again to "
    b"continue after the last finished epoch.\n"
)


def relay(lines: Iterable[bytes], target: BinaryIO) -> None:
    """Copy lines up to JAX's last words; for these, write a sentence unless one has been said."""
    lines, said = iter(lines), False
    for line in lines:
        if line.startswith(b"F") and b"JAX distributed service" in line:
            target.write(b"" if said else SENTENCE)
            break
        said |= line.startswith(b"smallvit: ")
        target.write(line)
        target.flush()
    target.flush()
    for _ in lines:  # until the process has ended: it could not write to a closed pipe
        pass


if __name__ == "__main__":
    relay(sys.stdin.buffer, sys.stderr.buffer)
