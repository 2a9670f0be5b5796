"""What goes wrong with data and with what is done to it, in one sentence."""

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


def require(holds: bool, settings: object, rule: str) -> None:
    """Refuse settings, a dataclass, for which a rule does not hold.

    Raises:
        ValueError: its message gives the rule and the settings.
    """
    if not holds:
        raise ValueError(f"{type(settings).__name__} needs {rule}; got {settings}.")
