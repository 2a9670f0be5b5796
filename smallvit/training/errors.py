"""What stops a run, in one sentence."""


class TrainingError(RuntimeError):
    """Why a run cannot start or continue, in one sentence."""


class OtherRunError(TrainingError):
    """Why a place on disk cannot be used: another run, or another process, has it."""
