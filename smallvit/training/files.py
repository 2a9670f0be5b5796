"""Files that are whole after a crash, one process per run, and Google Drive."""

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smallvit.training.errors import OtherRunError, TrainingError

GOOGLE_DRIVE = Path("/content/drive")
"""Where Colab mounts it."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it takes the place of `path` once it is on the disk.

    Whenever the machine stops, `path` is the old file or the new one, whole. A link in the
    temporary file's place is removed, not followed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{path.name}")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process.

    The operating system releases the lock when the process ends, however it ends. Its file names
    the process and the machine, since file systems may not share locks between machines.

    Raises:
        OtherRunError: if another process holds the folder.
    """
    path = folder / "lock"
    # Each of Colab's sessions has a machine of another name.
    this_machine = "Colab" if _is_on_drive(folder) else platform.node()
    with _open_locked(path) as file:
        process, _, machine = file.read().partition(" on ")
        if machine not in ("", this_machine):
            raise OtherRunError(
                f"{folder} is in use by process {process} on {machine}; if that process has ended, "
                f"delete {path}."
            )
        file.truncate(0)
        file.seek(0)
        file.write(f"{os.getpid()} on {this_machine}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def mount_drive(folder: str) -> Path:
    """Mount Google Drive, after Colab has asked for permission; return a folder on it.

    Args:
        folder: its path below "My Drive".

    Raises:
        TrainingError: outside Colab.
    """
    try:
        from google.colab import drive
    except ImportError:
        raise TrainingError("Only Colab can mount Google Drive; keep the results here.") from None
    drive.mount(str(GOOGLE_DRIVE))
    return GOOGLE_DRIVE / "MyDrive" / folder


def require_mounted(folder: Path) -> None:
    """Check that a folder on Google Drive is really there, and not one that Colab discards.

    Raises:
        TrainingError: if the folder is on the Drive and the Drive is not mounted.
    """
    if _is_on_drive(folder) and not GOOGLE_DRIVE.is_mount():
        raise TrainingError(
            f"{folder} is on Google Drive, which is not mounted. Run `from google.colab import "
            f"drive; drive.mount('{GOOGLE_DRIVE}')` first, or name another folder."
        )


def _is_on_drive(folder: Path) -> bool:
    return GOOGLE_DRIVE in Path(folder).absolute().parents


def _open_locked(path: Path) -> Any:
    """Open and lock a file; the lock ends when the file is closed."""
    import fcntl  # not on Windows, where all but training works without it

    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = file.read() or "another"
            file.close()
            raise OtherRunError(
                f"{path.parent} is being trained by process {owner}; wait for it, or stop it."
            ) from None
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # a process that just finished has deleted the folder


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
