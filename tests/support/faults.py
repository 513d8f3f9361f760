"""Faults at the system's calls: the n-th call on files raises an error, or the process is killed just before it.

`Faults` replaces the doors that Python code has to the file system (`os`, `open` and what it returns, SQLite's COMMIT)
in the process that installs it: a forked child, so that nothing leaks into the test. The calls are counted in order;
with no worker processes a run makes the same ones each time. `in_first_worker` has the first worker of a pool install
them: there the steps that it notes count, too.
"""

from __future__ import annotations

import builtins
import errno
import functools
import io
import mmap
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import crawler.engine.pool
from crawler.export.heartbeat import Heartbeat

CRAWLER = f"{os.sep}crawler{os.sep}"
CHANGING = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir", "link", "symlink", "truncate", "write", "fsync")
READING = ("stat", "lstat", "listdir", "scandir", "fstat")
METHODS = ("write", "writelines", "flush", "truncate", "close")


class Faults:
    """Counts calls, and strikes at one of them.

    Parameters
    ----------
    at
        Number of the call, from 0; none is struck when there are fewer.
    strike
        Raises, or does not return. Called with what the call would have done, and its name.
    reads
        Whether calls that only read count, too.
    below
        Calls on paths elsewhere do not count (libraries, /proc, the interpreter's own files).
    """

    def __init__(self, at: int, strike: Callable[[str], None], below: Path, reads: bool = False) -> None:
        self.at, self.strike, self.below, self.reads = at, strike, str(below), reads
        self.calls: list[str] = []
        self.tell: Callable[[str], object] = self.calls.append
        self._count = 0

    def meet(self, name: str, path: Any) -> None:
        """One call."""
        if isinstance(path, str | bytes | os.PathLike) and not self._counts(path):
            return
        self.tell(f"{name} in {_place()}")
        self._count += 1
        if self._count - 1 == self.at:
            self.strike(name)

    def _counts(self, path: str | bytes | os.PathLike[str]) -> bool:
        return os.path.abspath(os.fsdecode(path)).startswith(self.below)

    def install(self) -> None:
        """Replace the doors; for good, in this process."""
        for name in CHANGING + (READING if self.reads else ()):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        os.open = self._opening("os.open", os.open)  # type: ignore[assignment]
        builtins.open = io.open = self._opening("open", builtins.open)  # type: ignore[assignment]
        connect = sqlite3.connect
        faults = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                if sql == "COMMIT" and faults.below in faults.databases.get(id(self), ""):
                    faults.meet("COMMIT", None)
                return super().execute(sql, *arguments)

        self.databases: dict[int, str] = {}

        def connected(path: str, *arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(path, *arguments, **{"factory": Connection, **options})
            self.databases[id(connection)] = str(path)
            return connection

        sqlite3.connect = connected  # type: ignore[assignment]

    def _wrapped(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*arguments: Any, **options: Any) -> Any:
            if not isinstance(arguments[0] if arguments else ".", int):
                self.meet(name, arguments[0] if arguments else ".")
            elif name in ("fsync", "truncate"):
                self.meet(name, None)
            return original(*arguments, **options)

        return call

    def _opening(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(file: Any, mode: Any = "r", *arguments: Any, **options: Any) -> Any:
            if isinstance(file, int):
                return original(file, mode, *arguments, **options)
            if isinstance(mode, int):
                writes = bool(mode & (os.O_WRONLY | os.O_RDWR))
            else:
                writes = any(letter in mode for letter in "wax+")
            if writes or self.reads:
                self.meet(f"{name} to {'write' if writes else 'read'}", file)
            opened = original(file, mode, *arguments, **options)
            return _File(opened, self) if writes and name == "open" and self._counts(file) else opened

        return call


def _place() -> str:
    """Module and line of the project that the call comes from."""
    frame = sys._getframe(2)
    while frame is not None and CRAWLER not in frame.f_code.co_filename:
        frame = frame.f_back  # type: ignore[assignment]
    return f"{frame.f_code.co_filename.rpartition(CRAWLER)[2]}:{frame.f_lineno}" if frame is not None else ""


def name_of(call: str) -> str:
    """What was called, of one of `Ended.calls`."""
    return call.rpartition(" in ")[0]


def in_first_worker(faults: Faults, log: Path) -> None:
    """Have the first worker of the next pool in this process install faults, and write its calls to a log.

    Beside calls on files, each step that it notes counts, and its answer: before and after it is sent.
    """
    begun = mmap.mmap(-1, 1)
    serve = crawler.engine.pool.serve

    def served(*arguments: Any) -> None:
        if not begun[0]:
            begun[0] = 1
            told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            faults.tell = lambda call: os.write(told, call.encode() + b"\n")
            faults.install()
            note, send = Heartbeat.note, Connection.send_bytes

            def noted(self: Heartbeat, item: int, stage: str) -> None:
                note(self, item, stage)
                faults.meet(f"note:{stage}", None)

            def sent(self: Any, *message: Any) -> None:
                faults.meet("answer", None)
                send(self, *message)
                faults.meet("answered", None)

            Heartbeat.note, Connection.send_bytes = noted, sent  # type: ignore[method-assign]
        serve(*arguments)

    crawler.engine.pool.serve = served


class _File:
    """An open file whose calls count."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        if name not in METHODS:
            return found

        def call(*arguments: Any) -> Any:
            self._faults.meet(f"file.{name}", None)
            return found(*arguments)

        return call

    def __enter__(self) -> _File:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        self._faults.meet("file.close", None)
        return self._file.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._file)


def kill(name: str) -> None:
    """End the process as SIGKILL does: no buffer is written, nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def raising(number: int) -> Callable[[str], None]:
    """Raise what the system would."""

    def strike(name: str) -> None:
        if name == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error" if number == errno.EIO else "database or disk is full")
        raise OSError(number, os.strerror(number))

    return strike


class Ended:
    """How a child ended.

    Attributes
    ----------
    code
        What its deed returned; minus the signal that ended it.
    text
        What it raised: one line of a `StopError`, else a traceback.
    calls
        The calls that it made, "name in module:line", when it lived to tell.
    """

    def __init__(self, code: int, text: str, calls: list[str]) -> None:
        self.code, self.text, self.calls = code, text, calls


def in_child(deed: Callable[[], int], faults: Faults | None = None) -> Ended:
    """Do something in a forked child with faults installed."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        code, text = 1, ""
        unseen: list[str] = []

        def note(caught: Any) -> None:
            if not isinstance(caught.exc_value, Warning):  # of a file whose close was struck
                unseen.append(repr(caught.exc_value))

        sys.unraisablehook = note
        try:
            if faults is not None:
                faults.install()
            code = deed()
        except BaseException as error:
            text = str(error) if type(error).__mro__[1].__name__ == "StopError" else traceback.format_exc()
            text = f"{type(error).__name__}: {text}"
        finally:
            if unseen:
                code, text = 1, f"errors that Python prints, as nobody can catch them: {unseen}; {text}"
            report = "\0".join([text, *(faults.calls if faults else ())]).encode("utf-8", "replace")
            with io.FileIO(theirs, "wb") as pipe:
                while report:
                    report = report[pipe.write(report) :]
            os._exit(code)
    os.close(theirs)
    with io.FileIO(ours, "rb") as pipe:
        report = pipe.readall()
    _, status = os.waitpid(child, 0)
    text, *calls = (report or b"").decode("utf-8").split("\0")
    return Ended(os.waitstatus_to_exitcode(status), text, calls)
