"""Reads an archive of video files on all nodes of a cluster: each file once, and on again where an earlier run ended."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from ferengine.config import EngineSettings, make_config
from ferengine.errors import SinkError, UsageError
from ferengine.fleet.file_task import PART_PREFIX, PART_SUFFIX, FileJob, FileOutcome, read_file
from ferengine.models.priors import choose_prior
from ferengine.models.registry import load_model
from ferengine.sinks.files import shortened, write_failed

_LOCK = ".ferengine-files.lock"
_RETRIES = 3
"""Times that a file is read again because its node or process died."""
_STEP = 1.0
"""Maximum seconds between two reports of progress."""


@dataclass(frozen=True)
class FilesPlan:
    """Which files there are, and which have to be read.

    Attributes:
        jobs: Those to read.
        kept: How many have complete results from an earlier run.
        changed: Those that were changed since an earlier run; they are among the jobs.
    """

    jobs: tuple[FileJob, ...]
    kept: int
    changed: tuple[str, ...]


@dataclass
class FilesProgress:
    """How far a run is.

    Attributes:
        total: Files, those with results from an earlier run included.
        kept: These.
        running: Files that were handed to the cluster; some may wait for a node.
        done: Files that got results in this run.
        frames: Results in them.
        faces: Faces in these.
        bytes_total: Size of the files of this run.
        bytes_over: Size of those that are done or failed.
        seconds: Time since the run began.
        failed: What failed.
        truncated: What was cut off, and has results up to there.
    """

    total: int
    kept: int = 0
    running: int = 0
    done: int = 0
    frames: int = 0
    faces: int = 0
    bytes_total: int = 0
    bytes_over: int = 0
    seconds: float = 0.0
    failed: list[FileOutcome] = field(default_factory=list)
    truncated: list[FileOutcome] = field(default_factory=list)

    @property
    def seconds_left(self) -> float | None:
        """The time until the end if the rest is read as fast, byte by byte; None before the first file is over."""
        if not self.bytes_over:
            return None
        return self.seconds * (self.bytes_total - self.bytes_over) / self.bytes_over

    def note(self, outcome: FileOutcome, size: int) -> None:
        """Count a file that is over."""
        self.bytes_over += size
        if outcome.error is not None:
            self.failed.append(outcome)
            return
        self.done += 1
        self.frames += outcome.frames
        self.faces += outcome.faces
        if outcome.truncated:
            self.truncated.append(outcome)


def plan_files(
    patterns: Sequence[str], out: str | Path, *, overwrite: bool = False, **settings: Unpack[EngineSettings]
) -> FilesPlan:
    """Find the files and where their results go.

    The results of ``archive/**/*.mp4`` lie in ``out`` as the videos lie in ``archive``: ``a/talk.mp4.jsonl``, and
    ``a/talk.mp4.json`` as the record that they are complete. A file without a record is read, also if it has results; so is
    one whose size or time has changed since.

    Args:
        patterns: Paths or globs, ``**`` for folders of any depth. A file that several name is read once.
        out: The folder of the results. Files in it are not read.
        overwrite: Read all files, and replace results that are there.
        **settings: The fields of ``ferengine.config.EngineConfig``.

    Raises:
        UsageError: A pattern finds nothing, two files would have the same results, there are results from other settings or
            under other probabilities of the prior, or the prior that is given is wrong.
        ModelError: A prior is given, and the model that it is for is damaged.
    """
    folder = Path(out).resolve()
    config = make_config(**settings)
    text = config.model_dump_json(exclude_unset=True)
    prior = None if config.prior is None else choose_prior(load_model(config.model).manifest, config.prior, follows=True)
    jobs: list[FileJob] = []
    outputs: dict[Path, Path] = {}
    seen: set[Path] = set()
    kept, changed = 0, []
    for base, path in _find(patterns, folder):
        resolved = path.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        output = folder / f"{path.relative_to(base)}.jsonl"
        if output in outputs:
            raise UsageError(f"{path} and {outputs[output]} would both have the results {output}: use another --out for one")
        outputs[output] = path
        status, record = path.stat(), output.with_suffix(".json")
        job = FileJob(str(path.absolute()), str(output), str(record), status.st_size, status.st_mtime_ns, text)
        found = None if overwrite or not output.exists() else _read_record(record)
        if found is not None and found.get("settings") != json.loads(text):
            raise UsageError(
                f"{output} was made with other settings: choose another folder, or pass --overwrite to read all files again"
            )
        if found is not None and prior is not None and _recorded_prior(found) not in (None, prior.by_label()):
            raise UsageError(
                f"{output} was made when the prior {prior.name} had other probabilities: choose another folder, or pass "
                "--overwrite to read all files again"
            )
        if found is not None and (found.get("size"), found.get("modified")) == (job.size, job.modified):
            kept += 1
            continue
        jobs.append(job)
        if found is not None:
            changed.append(job.source)
    return FilesPlan(tuple(jobs), kept, tuple(changed))


def read_files(
    plan: FilesPlan,
    out: str | Path,
    *,
    address: str | None = None,
    cpus_per_file: float = 2.0,
    report: Callable[[FilesProgress], None] = lambda progress: None,
) -> FilesProgress:
    """Read the files of a plan on a cluster.

    Args:
        plan: From ``plan_files``.
        out: The same folder. Only one run writes to it at any time.
        address: Of the cluster, as for ``Fleet``; None starts one on this machine. All nodes need the files and the folder
            under the same paths.
        cpus_per_file: Cores that Ray sets aside for a file, at most those of the largest node. An engine keeps about four
            processes busy, two of them much.
        report: Called about once a second, in this thread.

    Returns:
        The progress at the end. A file that failed is in it and does not end the run; the next run tries it again.

    Raises:
        UsageError: Another run writes to the folder, or no node has cores.
        SinkError: The folder cannot be made.
        FleetError: The cluster cannot be reached.
        MissingDependencyError: Ray is not installed.

    Example:
        ::

            plan = plan_files(["archive/**/*.mp4"], "results")
            done = read_files(plan, "results")
            print(done.done, "read,", [failure.error for failure in done.failed])
    """
    progress = FilesProgress(len(plan.jobs) + plan.kept, plan.kept, bytes_total=sum(job.size for job in plan.jobs))
    with _locked(Path(out)):
        for part in Path(out).rglob(f"{PART_PREFIX}*{PART_SUFFIX}"):  # of runs that were killed
            part.unlink(missing_ok=True)
        if plan.jobs:
            from ferengine.fleet import cluster  # only now are the packages of the extra needed

            owned = cluster.connect(address)
            try:
                _run(cluster.import_ray(), plan.jobs, cpus_per_file, progress, report)
            finally:
                if owned:
                    cluster.disconnect()
    return progress


def _run(
    ray: Any, jobs: Sequence[FileJob], cpus: float, progress: FilesProgress, report: Callable[[FilesProgress], None]
) -> None:
    """Hand out jobs, a few more than there is room for, so that the cluster's tables stay small."""
    largest = max(_cores(ray), default=0.0)
    if not largest:
        raise UsageError("no node of the cluster has CPU cores for tasks: start nodes with --num-cpus")
    cpus = min(cpus, largest)
    task = ray.remote(num_cpus=cpus, max_retries=_RETRIES)(read_file)
    waiting = list(reversed(jobs))
    running: dict[Any, FileJob] = {}
    started = time.monotonic()
    try:
        while waiting or running:
            room = 2 * max(1, sum(int(cores // cpus) for cores in _cores(ray)))  # nodes come and go
            while waiting and len(running) < room:
                job = waiting.pop()
                running[task.remote(job)] = job
            ended, _ = ray.wait(list(running), num_returns=1, timeout=_STEP)
            for reference in ended:
                job = running.pop(reference)
                progress.note(_outcome(ray, reference, job), job.size)
            progress.running = len(running)
            progress.seconds = time.monotonic() - started
            report(progress)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _outcome(ray: Any, reference: Any, job: FileJob) -> FileOutcome:
    try:
        found: FileOutcome = ray.get(reference)
    except ray.exceptions.RayError as error:  # its node or process died once too often, or a bug of ours
        return FileOutcome(job.source, f"{shortened(job.source)}: {' '.join(str(error).split())[:300]}")
    return found


def _cores(ray: Any) -> list[float]:
    """Return the cores of each node that is alive."""
    return [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]


def _find(patterns: Sequence[str], out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each file with the folder that its pattern begins with, in the order of their names."""
    for pattern in patterns:
        fixed = Path(pattern).parent
        while glob.has_magic(str(fixed)):
            fixed = fixed.parent
        named = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute too
        found = map(Path, named)
        files = [path for path in found if path.is_file() and out not in path.resolve().parents]
        if not files:
            raise UsageError(f"--files: there is no file {shortened(pattern)}")
        yield from ((fixed, path) for path in files)


def _read_record(path: Path) -> Mapping[str, Any] | None:
    """Return what an earlier run recorded, None if it did not come to that."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _recorded_prior(record: Mapping[str, Any]) -> Any:
    """Return the probabilities of the prior in force then, None where the record does not say them."""
    found: Any = record
    for name in ("summary", "prior", "probabilities"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise write_failed(folder, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another run writes to {folder}: wait for its end, or choose another folder") from None
    except OSError as error:
        raise SinkError(f"{folder} cannot be locked: {error.strerror}: choose a folder whose file system knows locks") from None
    else:
        yield
    finally:
        os.close(descriptor)
