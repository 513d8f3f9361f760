"""What runs on a worker of Dask: the command of one shard, which ends with the worker. It is sent there by value."""

import ctypes
import signal
import subprocess
import sys
import time

AGAIN = "this one leaves"  # in what a shard says when another task is at work on it
WAITS = 24  # times 5 s: a command of a worker that was lost may still be about to end
PR_SET_PDEATHSIG = 1  # prctl(2)


def run(command: list[str], directory: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code, and the last line that it wrote on stderr."""
    for _ in range(WAITS):
        done = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
            check=False,
        )
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else ""
        if done.returncode != 1 or AGAIN not in said:
            break
        time.sleep(5)
    return done.returncode, said


def end_with_parent() -> None:
    """Have this process asked to end when the worker is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
