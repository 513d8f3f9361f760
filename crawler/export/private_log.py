"""Under `privacy` what a worker has to say goes to a file of the private folder, and its answer says no more than tags.

Outcomes go to the ledger, and from there to lists and messages; codecs write to standard error what they please.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator

from crawler.model import File, Outcome
from crawler.paths import printable
from crawler.privacy.messages import public_outcome

NAME = "workers.log"


def take_streams(path: str) -> None:
    """Have what this process writes to its standard streams go to a private file, or nowhere where it cannot be had."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    number = _opened(path)
    if number is None:
        number = os.open(os.devnull, os.O_WRONLY)
    for stream_number in (1, 2):
        os.dup2(number, stream_number)
    os.close(number)


@contextlib.contextmanager
def streams_taken(path: str | None) -> Iterator[None]:
    """For a while have the standard streams go where `take_streams` has them; without a path they stay."""
    kept: list[tuple[int, int]] = []
    try:
        if path is not None:
            with contextlib.suppress(OSError):  # of a process without streams there are none to be given back
                kept = [(number, os.dup(number)) for number in (1, 2)]
            take_streams(path)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr) if path is not None else ():
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()  # what was said meanwhile is not for the screen
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


def public_files(path: str | None, files: Iterable[tuple[File, Outcome]]) -> tuple[tuple[File, Outcome], ...]:
    """Outcomes that name no value; what they said is noted in a private file."""
    given = tuple(files)
    note(path, ((file.true, outcome) for file, outcome in given))
    return tuple((file, public_outcome(outcome)) for file, outcome in given)


def note(path: str | None, told: Iterable[tuple[str, Outcome]]) -> None:
    """Add a line for each outcome that says more than its public twin. A full disk costs the lines, not the run."""
    lines = [
        printable(f"{name}: {outcome.stage}: {outcome.reason}: {outcome.detail}") + "\n"
        for name, outcome in told
        if outcome.detail and public_outcome(outcome).detail != outcome.detail
    ]
    if not lines or path is None or (number := _opened(path)) is None:
        return
    with contextlib.suppress(OSError), open(number, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write("".join(lines))


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:
        return None
