"""What stops a run, in one sentence."""


def first_line(error: Exception) -> str:
    """The beginning of an error's message."""
    return str(error).partition("\n")[0][:90]


class TrainingError(RuntimeError):
    """Why a run cannot start or continue, in one sentence."""


class OtherRunError(TrainingError):
    """Why a place on disk cannot be used: another run, or another process, has it."""
