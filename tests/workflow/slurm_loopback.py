"""A Slurm cluster of two made-up nodes on this machine, for as long as one command runs.

    python tests/workflow/slurm_loopback.py [--logs DIR] COMMAND...

munged, slurmctld and two slurmd start on loopback with files of their own in a temporary folder; nothing of
the system's configuration is read or changed. Debian's packages are slurm-wlm and munge. Each node claims 16
cores, 128 GB and 4 GPUs, whatever the machine has, so that the shipped profile can be used as it is.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
NODES = ("node1", "node2")
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"
_CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MinJobAge=86400
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=16 RealMemory=128000 Gres=gpu:4
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=16 RealMemory=128000 Gres=gpu:4
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Loopback:
    """The cluster; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find the cluster."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}:{_SYSTEM}"
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def __enter__(self) -> "Loopback":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self._end_leftovers()

    def _end_leftovers(self) -> None:
        """Kill what a cancelled job left: without control groups, Slurm loses sight of a process that hangs
        in its handler of SIGTERM. All that was started here has this folder in its environment.
        """
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if os.fsencode(f"{self.folder / 'bin'}:") in (place / "environ").read_bytes():
                    os.kill(int(place.name), signal.SIGKILL)

    def call(self, *command: str, check: bool = True, cwd: Path | None = None) -> str:
        """Run a command against the cluster; its output."""
        done = subprocess.run(
            command, env=self.environment, check=False, capture_output=True, text=True, cwd=cwd
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        controller, port1, port2 = _free_ports(3)
        text = _CONF.format(
            host=socket.gethostname().partition(".")[0],
            user=_user(),
            folder=self.folder,
            controller=controller,
            port1=port1,
            port2=port2,
        )
        (self.folder / "slurm.conf").write_text(text)
        for number in range(4):
            (
                self.folder / f"gpu{number}"
            ).touch()  # Slurm counts device files; that these are none it can't tell
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-3]\n")
        self._wrap_clients()
        names = ("socket", "pid", "log", "seed")
        files = [
            f"--{name}{'' if name == 'socket' else '-file'}={self.folder}/munge.{name}" for name in names
        ]
        self._run("munged", "--foreground", "--force", f"--key-file={key}", *files)
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._run("slurmctld", "-D", "-i", "-c")
        for node in NODES:
            self._run("slurmd", "-D", "-N", node)
        self._wait(lambda: self.call("sinfo", "-h", "-o", "%T %D", check=False).strip() == "idle 2", "nodes")

    def _wrap_clients(self) -> None:
        """Clients that know the cluster by themselves: inside jobs, the executor plugin drops SLURM_CONF."""
        (self.folder / "bin").mkdir()
        for name in CLIENTS:
            wrapper = self.folder / "bin" / name
            program = _found(name)
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {program} "$@"\n')
            wrapper.chmod(0o755)

    def _run(self, program: str, *options: str) -> None:
        log = (self.folder / f"{program}.{len(self._running)}.out").open("wb")
        self._running.append(
            subprocess.Popen(
                [_found(program), *options], env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        )

    def _wait(self, ready: "object", what: str) -> None:
        end = time.monotonic() + 60
        while not ready():  # type: ignore[operator]
            if time.monotonic() > end:
                logs = "".join(f"\n== {p.name}\n{p.read_text()[-1500:]}" for p in self.folder.glob("*.out"))
                raise RuntimeError(f"{what}: not ready after 60 s.{logs}")
            time.sleep(0.3)


def missing_programs() -> list[str]:
    """What has to be installed first."""
    return [name for name in (*DAEMONS, *CLIENTS) if shutil.which(name, path=_path()) is None]


def _found(program: str) -> str:
    path = shutil.which(program, path=_path())
    if path is None:
        raise RuntimeError(f"{program} is missing. On Debian: apt-get install slurm-wlm munge")
    return path


def _path() -> str:
    return f"{os.environ['PATH']}:{_SYSTEM}"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--logs", type=Path, help="keep the daemons' files in this new folder")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        Loopback(options.logs or Path(temporary) / "slurm") as it,
    ):
        print(it.call("sinfo"), flush=True)
        done = subprocess.run(options.command, env=it.environment, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
