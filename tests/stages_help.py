"""What tests give to a stage in place of its worker process."""

from __future__ import annotations

import os
from contextlib import nullcontext

from ferengine._native import WorkerPage
from ferengine.stages.base import StageContext
from ferengine.stages.messages import FromWorker

_NEVER_READABLE, _ = os.pipe2(os.O_CLOEXEC)


def context(page: WorkerPage, reports: list[FromWorker], control: int = _NEVER_READABLE) -> StageContext:
    """A context that collects in ``reports`` what the stage sends; by default its control socket is silent."""
    return StageContext(page, control, reports.append, lambda: None, nullcontext)
