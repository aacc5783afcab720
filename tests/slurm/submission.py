"""Calls of snakemake that submit to the SLURM which tests/slurm/cluster has started."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import yaml
from working_copy import TINY, Call, Copy

LIMIT = 1800  # seconds a call may take on busy cores


def slurm(*command: str) -> str:
    """What one of SLURM's commands says."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds; what it gives."""
    until = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.3)
    return found


class Submission:
    """A call of snakemake in a copy that submits its jobs; `name` tells two of one copy apart."""

    def __init__(
        self,
        copy: Copy,
        *arguments: str,
        keys: dict[str, Any] | None = None,
        name: str = "call",
        gpu_partition: str = "gpu",
    ) -> None:
        files = [TINY]
        if keys is not None:
            files.append(f"{name}.yaml")
            (copy / files[-1]).write_text(yaml.safe_dump(keys))
        # Without accounting only squeue knows of the jobs; the file system is not a shared one.
        call = [sys.executable, "-m", "snakemake", *arguments]
        call += ["--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue"]
        call += ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"]
        # Several cells a job: a job takes longer to start than these cells to be made.
        call += ["--group-components", "cell=6", "classical=9", "operators=4", "report=1"]
        call += ["--cores", "2", "--configfile", *files]
        self.said = copy / f"{name}.txt"
        names = {"SLAMS_PARTITION": "cpu", "SLAMS_GPU_PARTITION": gpu_partition}
        # Both nodes are this machine, and the second one's name is no address.
        names["MASTER_ADDR"] = "127.0.0.1"
        with self.said.open("wb") as file:
            self.process = subprocess.Popen(
                call,
                cwd=copy.folder,
                env=copy.environment | names,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def jobs(self) -> dict[str, str]:
        """The SLURM jobs that were submitted so far, and what SLURM says of each."""
        numbers = re.findall(r"has been submitted with SLURM jobid (\d+)", self.said.read_text())
        return {number: slurm("scontrol", "show", "job", number) for number in numbers}

    def end(self) -> Call:
        """Wait for the end of the call."""
        return Call(self.process.wait(LIMIT), self.said.read_text())

    def kill(self) -> None:
        """End the call and its jobs, if they are not over."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(LIMIT)


def remove(copy: Copy, *names: str) -> None:
    """Take results away, so that they are made again."""
    for name in names:
        path = copy / f"results/tiny/{name}"
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


Submit = Callable[..., Submission]
