"""The command line: one module a command, and what they share. All that is printed is printed here.

`main` finds the command; `common` has flags, log and exit codes; `terminal` makes the text tables.
"""

import os

# One thread a process: the workers are the parallelism, and a process without threads forks safely. These libraries
# read their limits when they are first imported.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
