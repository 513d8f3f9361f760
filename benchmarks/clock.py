"""Times one command: `python -IS clock.py LOG COMMAND...` prints exit code, seconds and bytes.

A process of its own, and a small one (10 MB), because what the kernel counts for a command begins with the size of the
process that starts it. It imports nothing of this package. POSIX only (wait4).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, getrusage(2)

if __name__ == "__main__":
    with open(sys.argv[1], "wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(sys.argv[2:], stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    print(process.returncode, seconds, usage.ru_maxrss * UNIT)
