"""The one place where what a stage raises for a file becomes that file's outcome.

Stages raise; nothing between them and this boundary catches more than it can name.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from types import TracebackType

from crawler.errors import FileError, OutputError, StopError
from crawler.model import Outcome


def describe(error: BaseException) -> tuple[str, str]:
    """Reason and detail of an error nobody foresaw: its type and place, never its text, which may hold values."""
    if isinstance(error, MemoryError):
        return "out of memory", "the file needs more memory than limits.memory allows"
    if isinstance(error, OSError) and error.errno:
        return "file system error", os.strerror(error.errno)  # without its paths
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
    return "internal error", f"{type(error).__name__} at {place}"


def stop_of(error: BaseException) -> OutputError | None:
    """What every further file would meet, too: a full disk, no more open files; None for other errors."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError("the disk is full; all that was committed is kept: free space and run again")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return OutputError("too many open files: raise the limit (ulimit -n), or set fewer num_workers")
    return None


def outcome_of(error: Exception, stage: str) -> Outcome:
    """The outcome of the file that raised; an error that says its own stage is believed.

    Raises
    ------
    OutputError
        The next file would meet it, too.
    """
    if isinstance(error, FileError):
        return Outcome("failed", error.stage, error.reason, error.detail)
    stop = stop_of(error)
    if stop is not None:
        raise stop from error
    return Outcome("failed", stage, *describe(error))


class ErrorBoundary:
    """A context that hands the outcome of what is raised in it to `record`; errors that stop the run pass through.

    Attributes
    ----------
    failed
        Whether something was raised.
    """

    def __init__(self, stage: str, record: Callable[[Outcome], None]) -> None:
        self.stage = stage
        self.record = record
        self.failed = False

    def __enter__(self) -> ErrorBoundary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, StopError):
            return False
        self.failed = True
        self.record(outcome_of(error, self.stage))
        return True
