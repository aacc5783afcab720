"""One training in several processes, each of which runs the rule's script with a device.

The process that Snakemake started takes the devices of this machine, starts a process for each and
waits for them. These join a group of torch.distributed and run the same script, whose ``snakemake``
is made anew from a file; :mod:`slams.world` tells them apart. On several nodes of a SLURM
allocation srun starts them, a task a device.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed

from slams import world
from slams.device import choose, claim, claim_several
from slams.errors import ConfigError, SlamsError
from slams.job import ERROR_MARK, error_in, job
from slams.provenance import atomic

# A process may wait for the first one as long as this one fits the base of a prior, or waits for
# an orphan of a killed call.
PATIENCE = timedelta(days=2)
LOST = "by peer"  # what gloo and NCCL say of a process that is gone
OF_STEP = ("SLURM_", "SRUN_")
OF_JOB = ("SLURM_CLUSTER_NAME", "SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOBID")
PARTING = 30.0  # seconds that the others have to end when one has failed

Work = Callable[[Any, torch.device], None]


def run(task: Any, work: Work) -> None:
    """Do a rule's ``work(task, device)`` here, or in as many processes as it asks for.

    ``task`` is the script's ``snakemake``; ``trainer.devices`` and ``trainer.nodes`` of its
    configuration say how many. Every error ends the process, as in :func:`slams.job.job`.
    """
    devices, nodes = (task.config["trainer"][key] for key in ("devices", "nodes"))
    path = Path(task.log[0])
    if world.size() > 1:
        # The process that started the first one has begun the job's log.
        mode = "w" if world.rank() else "a"
        with job(_log_of(path, world.rank()), max(1, task.threads // devices), mode):
            work(task, _device(task))
    elif devices * nodes == 1:
        with job(path, task.threads), claim(task.params.device) as taken:
            work(task, taken)
    else:
        with job(path, task.threads):
            _launch(task, path, devices, nodes)


def _log_of(path: Path, rank: int) -> Path:
    """The first process has the rule's log; the others' lie beside it."""
    return path.with_name(f"{path.name}.rank{rank}") if rank else path


def _device(task: Any) -> torch.device:
    kind = choose(task.params.device).type
    return (
        torch.device(kind, int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)
    )


def _launch(task: Any, path: Path, devices: int, nodes: int) -> None:
    """Start the processes, wait for them, and end as they ended."""
    description = Path(task.params.checkpoints) / "task.json"
    with atomic(description) as temporary:
        temporary.write_text(json.dumps(_described(task), default=str))
    script = Path(task.scriptdir) / f"{task.rule}.py"
    call = [sys.executable, "-m", "slams.ranks", str(script), str(description)]
    if nodes > 1:
        started = [_on_nodes(call, devices, nodes, max(1, task.threads // devices))]
        asked = _wait(started)
    else:
        claimed = claim_several(task.params.device, devices)
        with claimed as taken, tempfile.TemporaryDirectory(prefix="slams-ranks-") as folder:
            started = _here(call, path, taken, Path(folder) / "meeting")
            asked = _wait(started)
    if any(process.returncode for process in started):
        ends = [process.returncode for process in started]
        cause = None if asked else _cause(ends, path, devices * nodes)
        if cause is None:
            raise SystemExit(1)
        raise SlamsError(cause)


def _described(task: Any) -> dict[str, Any]:
    """What a script takes from its ``snakemake``, in plain types."""

    def named(values: Any) -> dict[str, Any]:
        return {k: v if isinstance(v, str) else _plain(v) for k, v in values.items()}

    parts = {key: named(getattr(task, key)) for key in ("input", "output", "params", "wildcards")}
    rest = {"config": task.config, "threads": task.threads, "log": list(task.log)}
    return {**parts, **rest, "rule": task.rule, "scriptdir": str(task.scriptdir)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _here(
    call: list[str], path: Path, taken: list[torch.device], meeting: Path
) -> list[subprocess.Popen[bytes]]:
    """Start a process for each device of this machine; they meet by a file, not by a port."""
    common: dict[str, Any] = {"WORLD_SIZE": len(taken), "LOCAL_WORLD_SIZE": len(taken)}
    common |= {"GROUP_RANK": 0, "SLAMS_MEETING": f"file://{meeting}"}
    if taken[0].type == "cuda":
        seen = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(1024)))
        names = [seen.split(",")[device.index] for device in taken]
        common["CUDA_VISIBLE_DEVICES"] = ",".join(names)
    started = []
    for rank in range(len(taken)):
        own = {**common, "RANK": rank, "LOCAL_RANK": rank}
        # The first one's words are the job's. The pipe closes when this process dies.
        other = _log_of(path, rank).open("wb") if rank else None
        started.append(
            subprocess.Popen(
                [*call, "--guarded"],
                env={**os.environ, **{key: str(value) for key, value in own.items()}},
                stdin=subprocess.PIPE,
                stderr=other,
            )
        )
        if other:
            other.close()
    return started


def _on_nodes(call: list[str], devices: int, nodes: int, threads: int) -> subprocess.Popen[bytes]:
    """Let srun start a process of ``threads`` for each device of the allocation's nodes."""
    job, names = _allocation()
    if len(names) != nodes:
        raise ConfigError(
            f"trainer.nodes: {nodes}, but this job runs on {len(names) or 'no'} nodes of SLURM; "
            "let Snakemake submit it (profiles/slurm), or set trainer.nodes to 1"
        )
    # Jobs of one node meet at other ports. The first process is on the first node.
    address = os.environ.get("MASTER_ADDR", names[0])
    meeting = f"tcp://{address}:{os.environ.get('MASTER_PORT', 15_000 + job % 10_000)}"
    # overlap: the step that this process is in has the same devices.
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes * devices}"]
    srun += [f"--ntasks-per-node={devices}", "--overlap", "--kill-on-bad-exit=1"]
    srun += [f"--cpus-per-task={threads}"]
    # What SLURM's variables say of this step, srun would take for what the new one may have.
    kept = {k: v for k, v in os.environ.items() if k in OF_JOB or not k.startswith(OF_STEP)}
    own = {"SLAMS_MEETING": meeting, "LOCAL_WORLD_SIZE": str(devices)}
    return subprocess.Popen([*srun, *call], env=kept | own)


def _allocation() -> tuple[int, list[str]]:
    """The SLURM job that this is in, and its nodes; no node outside of SLURM.

    SLURM itself is asked: the variables tell of the step, which is on one node.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job:
        return 0, []

    def said(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    listed = said("squeue", "--noheader", "--jobs", job, "--format", "%N").strip()
    return int(job), said("scontrol", "show", "hostnames", listed).split()


def _wait(started: list[subprocess.Popen[bytes]]) -> bool:
    """Wait until all have ended; returns whether SIGTERM, which goes on to them, was the cause."""
    asked = False

    def pass_on(*_: object) -> None:
        nonlocal asked
        asked = True
        for process in started:
            process.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    deadline = float("inf")
    try:
        while any(process.poll() is None for process in started):
            now = time.monotonic()
            if deadline == float("inf") and any(process.poll() for process in started):
                deadline = now + PARTING
            if now > deadline:
                for process in started:
                    process.kill()
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in started:
            if process.poll() is None:
                process.kill()
    return asked


def _cause(statuses: list[int], path: Path, processes: int) -> str | None:
    """Why processes ended; None where the job's log, which is the first one's, says so.

    ``statuses`` are of what was started here: the ``processes``, or srun that started them.
    """
    said = error_in(path)
    # Where one fails, the first finds that it is gone, which is not the cause.
    if said and LOST not in said:
        return None
    for rank in range(1, processes):
        log_file = _log_of(path, rank)
        error = error_in(log_file) if log_file.is_file() else None
        if error and LOST not in error:
            return f"process {rank} of {processes}: {error.removeprefix(ERROR_MARK)}"
    ends = ", ".join(map(str, statuses))
    return (
        f"the {processes} processes of this training ended with status {ends} (-9: killed, or "
        "out of memory); the same command goes on from the last checkpoint"
    )


def main(script: str, description: str, *flags: str) -> None:
    """What each of the processes does: join the others, run the script, leave."""
    if "SLURM_PROCID" in os.environ and "RANK" not in os.environ:
        names = {"RANK": "PROCID", "LOCAL_RANK": "LOCALID", "WORLD_SIZE": "NTASKS"}
        os.environ.update({ours: os.environ[f"SLURM_{its}"] for ours, its in names.items()})
        os.environ["GROUP_RANK"] = os.environ["SLURM_NODEID"]
    if "--guarded" in flags:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    task = _task(json.loads(Path(description).read_text()))
    device = _device(task)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=os.environ["SLAMS_MEETING"],
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        timeout=PATIENCE,
    )
    runpy.run_path(script, init_globals={"snakemake": task})
    distributed.destroy_process_group()


def _end_with_parent() -> None:
    """Standard input ends when the process that started this one is gone."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _task(described: Mapping[str, Any]) -> SimpleNamespace:
    parts = {
        key: SimpleNamespace(**described[key]) for key in ("input", "output", "params", "wildcards")
    }
    return SimpleNamespace(**{**described, **parts})


if __name__ == "__main__":
    main(*sys.argv[1:])
