"""What goes wrong while data is read, in one sentence."""

import contextlib
from collections.abc import Iterator


class DataError(ValueError):
    """Why data cannot be read, and what to do, in one sentence."""


@contextlib.contextmanager
def one_sentence(source: object) -> Iterator[None]:
    """Turn what the system refuses while `source` is read into a `DataError`."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(
            f"{error.filename or source} cannot be read: {reason}; make it readable, or point "
            "somewhere else."
        ) from error
    except MemoryError as error:
        raise DataError(
            f"{source} does not fit into memory; choose fewer or smaller images."
        ) from error
