"""Several training runs at once, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from ferengine.errors import FerengineError
from ferengine_tools.training.plan import Run

Start = Callable[[str], int]
"""Trains the run of that name to its end, and returns the exit code."""


def train_side_by_side(runs: Sequence[Run], jobs: int, start: Start, report: Callable[[str], None]) -> None:
    """Train runs, up to ``jobs`` at a time, each after those that it is fine-tuned from or taught by.

    When one fails, those that need it are left out and all others still run.

    Args:
        runs: The runs.
        jobs: At least 1.
        start: Called in a thread.
        report: Takes a line for each run that starts or ends.

    Raises:
        FerengineError: Some failed; it names them and those that were left out.
    """
    names = {run.name for run in runs}
    needs = {run.name: {run.after, run.distil} & names for run in runs}
    waiting, done, failed = [run.name for run in runs], set[str](), list[str]()
    running: dict[Future[int], str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            for name in [name for name in waiting if needs[name] <= done][: jobs - len(running)]:
                waiting.remove(name)
                report(f"{name} starts")
                running[pool.submit(start, name)] = name
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                if future.result() == 0:
                    done.add(name)
                else:
                    failed.append(name)
                report(f"{name} {'is finished' if name in done else 'failed'}")
    if failed:
        left = f"; {', '.join(waiting)} were left out, which need them" if waiting else ""
        raise FerengineError(f"{', '.join(failed)} failed{left}: read the .log of each in --out, mend it, and call this again")


def in_a_process(words: Sequence[str], out: Path) -> Start:
    """Return a ``Start`` that calls ``ferengine train-all`` with ``words`` for one run, its output in ``out/NAME.log``."""

    def start(name: str) -> int:
        with (out / f"{name}.log").open("a") as log:
            command = [sys.executable, "-m", "ferengine", "train-all", *words, "--only", name]
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode

    return start
