"""A SLURM of one node, on loopback, without munge, cgroups and accounting; and what a test asks of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scancel", "squeue", "sinfo", "scontrol")
NO_ANSWER = ("Unable to contact", "Socket timed out", "Zero Bytes", "Connection refused", "Connection timed out")
CONF = """\
ClusterName=dmetest
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
ReturnToService=2
SlurmctldTimeout=600
SlurmdTimeout=600
InactiveLimit=0
KillWait=30
MinJobAge=300
Waittime=0
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=test Nodes=localhost Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def is_installed() -> bool:
    """Whether the programs are here, and this user may start them."""
    return os.name == "posix" and os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run it; yield the environment of its commands."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(folder=folder, controller=_free_port(), node=_free_port()))
    environ = {**os.environ, "SLURM_CONF": str(conf)}
    servers = [
        subprocess.Popen(["slurmctld", "-D", "-c", "-f", str(conf)], env=environ, stderr=subprocess.DEVNULL),
        subprocess.Popen(["slurmd", "-D", "-N", "localhost", "-f", str(conf)], env=environ, stderr=subprocess.DEVNULL),
    ]
    try:
        wait_for(lambda: "idle" in ask(environ, "sinfo", "-h", "-o", "%T"))
        yield environ
    finally:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", "-u", "root"], env=environ, timeout=20, check=False)
        for server in reversed(servers):
            server.terminate()
        for server in servers:
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def ask(environ: dict[str, str], *command: str) -> str:
    """What a command of SLURM prints; empty when it refuses. It is asked again while the controller does not answer."""
    for _ in range(100):  # an answer that did not come is not the answer that a job is gone
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode == 0:
            return done.stdout
        if not any(said in done.stderr for said in NO_ANSWER):
            return ""
        time.sleep(1)
    raise AssertionError(f"SLURM does not answer: {done.stderr}")


def wait_for(is_so, seconds: float = 600.0) -> None:
    """Wait until something is so; the limit ends a test that hangs, and is far above what a busy machine needs."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
