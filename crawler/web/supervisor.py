"""Looks after one run, whatever becomes of the server: starts it, passes signals on, writes down its exit code.

`python -m crawler.web.supervisor FOLDER RUN LOG EXIT COMMAND...`: a small process, in a session of its own.
It loads nothing of dme, and the run is the command that a user would type in the same folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from types import FrameType

# What ends a run in order. They are blocked until `main` listens, see `queue.py`.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(folder: str, run: str, log_name: str, exit_name: str, command: list[str]) -> int:
    """Start a command in a folder, wait for it, and note how it ended."""
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    os.chdir(folder)
    asked: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for child in children:
            child.send_signal(number)

    for number in SIGNALS:  # before the log tells of the run: who reads that may cancel it
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with open(log_name, "ab") as log:
        head = f"--- run {run}, {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
        log.write(head.encode())
        log.flush()
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except OSError as error:
            log.write(f"dme: cannot be started: {error.strerror}\n".encode())
            _note(exit_name, run, 1)
            return 1
        children.append(child)
        for early in asked:  # what came while it was being started
            child.send_signal(early)
        code = child.wait()
    _note(exit_name, run, code)
    return 0


def _note(name: str, run: str, code: int) -> None:
    with open(name + ".new", "w", encoding="utf-8") as file:
        json.dump({"run": int(run), "code": code, "ended": time.time()}, file)
    os.replace(name + ".new", name)


if __name__ == "__main__":
    folder, run, log_name, exit_name, *command = sys.argv[1:]
    sys.exit(main(folder, run, log_name, exit_name, command))
