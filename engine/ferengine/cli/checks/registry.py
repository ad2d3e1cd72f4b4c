"""All checks in the order in which they run, and how one runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ferengine.cli.checks import environment, machine, models, pipeline, stages
from ferengine.cli.checks.base import Finding
from ferengine.errors import FerengineError
from ferengine.ipc.machine import refusal

CHECKS: Mapping[str, Callable[[], Finding | None]] = {
    "versions": machine.check_versions,
    "collisions": machine.check_collisions,
    "kernel": machine.check_kernel,
    "processors": machine.check_processors,
    "memory": machine.check_memory,
    "shared memory": machine.check_shared_memory,
    "open files": machine.check_open_files,
    "backend": stages.check_backend,
    "crop": stages.check_crop,
    "mtcnn": stages.check_mtcnn,
    "haar": stages.check_haar,
    "models": models.check_models,
    "cameras": environment.check_cameras,
    "screen": environment.check_screen,
    "video encoder": environment.check_encoder,
    "demo": environment.check_demo,
    "engine": pipeline.check_pipeline,
    "gpu": models.check_gpu,
    "torch": models.check_torch,
}
"""The GPU and torch come last: both are slow to load, and a driver that crashes takes the process with it."""


def examine(check: Callable[[], Finding | None]) -> Finding | None:
    """Run a check.

    Returns:
        What it found, or None if this machine has nothing to check. A check that raises is a failure with the error's text.
    """
    try:
        return check()
    except FerengineError as error:
        return Finding("fail", str(error), "follow the message")
    except Exception as error:
        said = refusal(error)
        if said is not None:
            return Finding("fail", f"the system refuses what the check needs ({said})", "follow the message")
        return Finding("fail", f"the check itself failed: {error!r}", "please report this")
