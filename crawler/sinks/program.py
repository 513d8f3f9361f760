"""Programs (ffmpeg) started so that they end with this process, whatever kills it.

It knows no program's arguments and reads none of its output.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache, partial
from typing import IO

PR_SET_PDEATHSIG = 1  # prctl(2)
SETPRIV = ("--pdeathsig", "KILL", "--")


def start(
    command: Sequence[str], *, stdin: int | IO[bytes] = subprocess.DEVNULL, stdout: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with a pipe for its messages.

    Ctrl-C does not reach it: the engine decides whether its file is finished. On Linux it is killed when the process
    that started it is gone. By setpriv(1) of util-linux, where there is one that knows how: that takes 1 ms. Else by
    code between fork and exec, for which Python copies the page tables of this process first: 30 ms at 200 MB.
    Elsewhere a program ends when its pipe does.

    Raises
    ------
    OSError
        It cannot be started.
    """
    if shutil.which(command[0]) is None:  # setpriv would tell in words of its own
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    prefix = _setpriv()
    by_fork = sys.platform == "linux" and not prefix
    return subprocess.Popen(
        [*prefix, *command],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=partial(_leave_with_parent, os.getpid()) if by_fork else None,
    )


def run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, without input. Raises as `start` does."""
    with start(command) as process:
        try:
            output, messages = process.communicate()
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, messages)


@cache
def _setpriv() -> tuple[str, ...]:
    """What comes before a command so that the program leaves with this process; nothing where that does not work."""
    path = shutil.which("setpriv") if sys.platform == "linux" else None
    if path is None:
        return ()
    prefix = (path, *SETPRIV)
    # That of busybox, or one before util-linux 2.33, does not know the option.
    trial = subprocess.run([*prefix, path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return prefix if trial.returncode == 0 else ()


def _leave_with_parent(parent: int) -> None:
    """What runs between fork and exec."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before
        os._exit(1)
