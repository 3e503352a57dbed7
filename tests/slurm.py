"""A Slurm of one node for the tests, with its own key, ports and folders."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from utils import paths

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
SchedulerParameters=requeue_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={slots} Sockets=1 CoresPerSocket={slots} RealMemory=16000
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing() -> str:
    """Why there can be no Slurm here, in words; "" if there can."""
    if sys.platform != "linux":
        return "Slurm runs on Linux only"
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)}): apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "a Slurm of one's own is started by root"


class Slurm:
    """Runs Slurm's commands against the node of `running_slurm`."""

    def __init__(self, root: Path):
        self.environment = os.environ | {"SLURM_CONF": str(root / "slurm.conf"), "PATH": PATH}

    def __call__(self, *command: str, **variables: str) -> str:
        done = subprocess.run(
            command,
            env=self.environment | variables,
            cwd=paths.ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def states(self, job: str) -> set[str]:
        """The states of a job's tasks."""
        return set(re.findall(r"JobState=(\w+)", self("scontrol", "-o", "show", "job", job)))

    def has_ended(self, job: str) -> bool:
        return not self.states(job) & {"PENDING", "RUNNING", "COMPLETING", "REQUEUED"}


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 900) -> None:
    """Waits until a condition holds; the limit is only for a test that would never end."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextlib.contextmanager
def running_slurm(root: Path, slots: int) -> Iterator[Slurm]:
    """A Slurm with one node of so many slots; it ends with the block."""
    for folder in ("state", "spool"):
        (root / folder).mkdir()
    root.chmod(0o755)  # munged refuses a socket that others could not reach
    (root / "munge.key").write_bytes(os.urandom(1024))
    (root / "munge.key").chmod(0o400)
    host = socket.gethostname().split(".")[0]
    ports = {"port": _free_port(), "node_port": _free_port()}
    text = CONFIGURATION.format(root=root, host=host, slots=slots, **ports)
    (root / "slurm.conf").write_text(text)
    slurm = Slurm(root)
    munge = [
        f"--key-file={root}/munge.key", f"--socket={root}/munge.socket",
        f"--pid-file={root}/munged.pid", f"--log-file={root}/munged.log",
        f"--seed-file={root}/munged.seed",
    ]  # fmt: skip
    commands = (
        ("munged", "--foreground", "--force", *munge),
        ("slurmctld", "-D", "-i", "-f", f"{root}/slurm.conf"),
        ("slurmd", "-D", "-N", host, "-f", f"{root}/slurm.conf"),
    )
    processes = []
    try:
        for command in commands:
            log = open(root / f"{command[0]}.out", "wb")  # noqa: SIM115  the process keeps it
            processes.append(
                subprocess.Popen(command, env=slurm.environment, stdout=log, stderr=log)
            )
            if command[0] == "munged":
                wait_for((root / "munge.socket").exists, "munged listens", 60)

        def is_idle() -> bool:
            assert all(process.poll() is None for process in processes), _logs(root)
            with contextlib.suppress(AssertionError):
                return "State=IDLE" in slurm("scontrol", "show", "node", host)
            return False

        wait_for(is_idle, f"the node is idle: {_logs(root)}", 120)
        yield slurm
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in reversed(processes):
            process.wait(timeout=60)


def _logs(root: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-600:] for path in root.glob("*.log"))
