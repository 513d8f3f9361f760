"""Faults at system calls: the n-th call of a process that changes a file is killed before, torn in two, or refused.

`support/faults.py` replaces the doors of Python; this looks from outside, so the writes of SQLite, HDF5 and other
libraries in C count, too, and those of worker processes. A filter (seccomp(2)) stops a process at these calls alone,
and a tracer (ptrace(2)) decides: Linux on x86-64, nothing to install. Without worker processes a run makes the same
calls each time, but for commits that come with time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.faults import Ended

SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64"
WRITES = {1: "write", 18: "pwrite", 20: "writev", 296: "pwritev"}
ON_FILES = {74: "fsync", 75: "fdatasync", 77: "ftruncate", 285: "fallocate", 306: "syncfs", 91: "fchmod"}
COPIES = {40: "sendfile", 326: "copy_file_range"}  # the descriptor that is written to: of the first, of the second
ON_PATHS = {  # name, and which arguments are paths: (of a folder's descriptor, of the path); None: the current folder
    76: ("truncate", (None, 0)),
    82: ("rename", (None, 1)),
    83: ("mkdir", (None, 0)),
    84: ("rmdir", (None, 0)),
    86: ("link", (None, 1)),
    87: ("unlink", (None, 0)),
    88: ("symlink", (None, 1)),
    90: ("chmod", (None, 0)),
    258: ("mkdir", (0, 1)),
    263: ("unlink", (0, 1)),
    264: ("rename", (2, 3)),
    265: ("link", (2, 3)),
    266: ("symlink", (1, 2)),
    268: ("chmod", (0, 1)),
    280: ("utime", (0, 1)),
    316: ("rename", (2, 3)),
}
OPENS = {2: (None, 0, 1), 257: (0, 1, 2)}  # as above, and the flags
TRACED = (*WRITES, *ON_FILES, *COPIES, *ON_PATHS, *OPENS)

TRACEME, CONT, GETREGS, SETREGS, SYSCALL, SETOPTIONS, GETEVENTMSG = 0, 7, 12, 13, 24, 0x4200, 0x4201
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x80 | 0x100000  # SYSGOOD FORK VFORK CLONE SECCOMP EXITKILL
EVENT_SECCOMP, ALL_THREADS = 7, 0x40000000
RAX, RDX, ORIG_RAX, ARGUMENTS = 10, 12, 15, (14, 13, 12, 7, 9, 8)  # places in struct user_regs_struct
AT_FDCWD = -100
SECONDS = 120  # of one run, on a busy machine


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter)))


def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    return libc


def _be_traced(libc: Any) -> None:
    """Stop until the tracer has set its options; from then on, stop at each call of `TRACED`."""
    assert libc.ptrace(TRACEME, 0, None, None) == 0, "no ptrace here"
    os.kill(os.getpid(), signal.SIGSTOP)
    numbers = sorted(TRACED)
    lines = [_Filter(0x20, 0, 0, 0)]  # the number of the call
    lines += [_Filter(0x15, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    lines += [_Filter(0x06, 0, 0, 0x7FFF0000), _Filter(0x06, 0, 0, 0x7FF00000)]  # allow; tell the tracer
    program = _Program(len(lines), (_Filter * len(lines))(*lines))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.byref(program)) == 0, "no seccomp here"


class Tracer:
    """Counts the calls that change a file below a folder, in a process and all that it starts.

    Parameters
    ----------
    at
        Number of the call to strike, from 0; -1 for none.
    how
        "kill": all processes, before the call. "torn": all, after the first half of a write. "one": the process that
        makes the call. A number of `errno`: the call is not made, and returns it.
    """

    def __init__(self, below: Path, at: int, how: str | int) -> None:
        self.below, self.at, self.how = os.path.realpath(below), at, how
        self.calls: list[str] = []
        self.pids: set[int] = set()
        self._libc = _libc()
        self._regs = (ctypes.c_ulonglong * 27)()

    def follow(self, first: int) -> int:
        """Let it run; return how the first process ended."""
        _, status = os.waitpid(first, ALL_THREADS)
        assert os.WIFSTOPPED(status), "it ended before it began"
        self._libc.ptrace(SETOPTIONS, first, None, OPTIONS)
        self.pids.add(first)
        self._libc.ptrace(CONT, first, None, None)
        code = None
        while self.pids:
            try:
                pid, status = os.waitpid(-1, ALL_THREADS)
            except ChildProcessError:
                break
            if not os.WIFSTOPPED(status):
                self.pids.discard(pid)
                code = os.waitstatus_to_exitcode(status) if pid == first else code
                continue
            new = pid not in self.pids
            self.pids.add(pid)
            event, number = status >> 16, os.WSTOPSIG(status)
            if event == EVENT_SECCOMP:
                if not self._meet(pid):
                    continue
            elif event or (new and number == signal.SIGSTOP):
                number = 0
            self._libc.ptrace(CONT, pid, None, number if number != signal.SIGTRAP else 0)
        assert code is not None
        return code

    def _meet(self, pid: int) -> bool:
        """One call; False when the process is not to go on."""
        self._libc.ptrace(GETREGS, pid, None, ctypes.byref(self._regs))
        told = self._told(pid)
        if told is None:
            return True
        number, name = len(self.calls), told
        self.calls.append(name)
        if number != self.at:
            return True
        if isinstance(self.how, int):
            self._regs[ORIG_RAX] = 2**64 - 1
            self._regs[RAX] = 2**64 - self.how
            self._libc.ptrace(SETREGS, pid, None, ctypes.byref(self._regs))
            return True
        if self.how == "torn" and self._regs[ORIG_RAX] in (1, 18):
            self._regs[RDX] = max(1, self._regs[RDX] // 2)
            self._libc.ptrace(SETREGS, pid, None, ctypes.byref(self._regs))
            self._libc.ptrace(SYSCALL, pid, None, None)
            os.waitpid(pid, ALL_THREADS)
        victims = [pid] if self.how == "one" else list(self.pids)
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        return False

    def _told(self, pid: int) -> str | None:
        """What the call is, and on what; None when it changes nothing below the folder."""
        number = self._regs[ORIG_RAX]
        arguments = [self._regs[place] for place in ARGUMENTS]
        if number in OPENS:
            folder, path, flags = OPENS[number]
            if not arguments[flags] & (os.O_CREAT | os.O_TRUNC):
                return None
            name, place = "open", self._path(pid, folder, path, arguments)
        elif number in ON_PATHS:
            name, (folder, path) = ON_PATHS[number]
            place = self._path(pid, folder, path, arguments)
        else:
            name = WRITES.get(number) or ON_FILES.get(number) or COPIES[number]
            place = self._open_file(pid, arguments[2 if number == 326 else 0])
        if place != self.below and not place.startswith(self.below + os.sep):
            return None
        return f"{name} {_general(os.path.relpath(place, self.below))}"

    def _path(self, pid: int, folder: int | None, path: int, arguments: list[int]) -> str:
        name = os.fsdecode(b"".join(_string(pid, arguments[path]))) if arguments[path] else ""
        if os.path.isabs(name):
            return os.path.normpath(name)
        descriptor = AT_FDCWD if folder is None else ctypes.c_int(arguments[folder] & 0xFFFFFFFF).value
        above = f"/proc/{pid}/cwd" if descriptor == AT_FDCWD else f"/proc/{pid}/fd/{descriptor}"
        return os.path.normpath(os.path.join(os.readlink(above), name))

    def _open_file(self, pid: int, descriptor: int) -> str:
        try:
            return os.readlink(f"/proc/{pid}/fd/{descriptor & 0xFFFFFFFF}")
        except OSError:
            return ""


def _string(pid: int, address: int) -> Iterator[bytes]:
    """A string of another process, in pieces that end with their page."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        while True:
            memory.seek(address)
            piece = memory.read(4096 - address % 4096)
            end = piece.find(b"\0")
            if end >= 0 or not piece:
                yield piece[: max(end, 0)]
                return
            yield piece
            address += len(piece)


def _general(place: str) -> str:
    """A path without what differs between runs: random names of a run's folders, process ids."""
    return re.sub(r"\d{3,}(?=\.)|(?<=\.dme-tmp/)[^/]+(/[^/]+)?", "*", place)


def traced(deed: Callable[[], int], below: Path, at: int = -1, how: str | int = "kill") -> Ended:
    """Do something in a child of a child, and strike at one of its calls; what it came to, and its calls until then."""
    sys.stdout.flush()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        told = "the tracer died"
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            told = _traced(deed, Tracer(below, at, how))
        except BaseException:
            told = f"-99\0{traceback.format_exc()}"
        finally:
            data = told.encode("utf-8", "replace")
            while data:
                data = data[os.write(theirs, data) :]
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        report = pipe.read().decode()
    os.waitpid(child, 0)
    assert report, "the tracer was ended: the run hung"
    code, text, *calls = report.split("\0")
    assert code != "-99", text
    return Ended(int(code), text, calls)


def _traced(deed: Callable[[], int], tracer: Tracer) -> str:
    heard, told = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(heard)
        code, text = 1, ""
        try:
            _be_traced(_libc())
            code = deed()
        except BaseException as error:
            text = str(error) if type(error).__mro__[1].__name__ == "StopError" else traceback.format_exc()
            text = f"{type(error).__name__}: {text}"
        finally:
            os.write(told, text.encode("utf-8", "replace")[-4000:])
            os._exit(code)
    os.close(told)
    code = tracer.follow(first)
    text = os.read(heard, 4096).decode("utf-8", "replace") if code >= 0 else ""
    return "\0".join([str(code), text, *tracer.calls])
