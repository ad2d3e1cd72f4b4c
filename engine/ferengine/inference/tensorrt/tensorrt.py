"""Which TensorRT is installed, and what it logs.

``tensorrt`` (data centre, Jetson) builds for the GPU in the machine; ``tensorrt-rtx`` (RTX cards) builds portable
engines on any machine, with or without a GPU, and finishes compiling them where they run.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import re
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

from ferengine.errors import MissingDependencyError
from ferengine.inference.tensorrt.types import Builder, NetworkDefinition, OnnxParser, Runtime
from ferengine.pip_hint import install_extra, pip_install

RuntimeName = Literal["tensorrt", "tensorrt-rtx"]

RUNTIMES: dict[RuntimeName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Modules by runtime, the preferred one first."""

_KEPT_MESSAGES = 200

log = logging.getLogger(__name__)


class MessageLog:
    """The last warnings and errors of TensorRT, which explain what its calls report as None or False.

    One for all builders and runtimes of a process: TensorRT ignores every logger but the first.
    """

    def __init__(self) -> None:
        self._messages: deque[str] = deque(maxlen=_KEPT_MESSAGES)

    def add(self, level: str, message: str) -> None:
        """Keep a message; ``level`` is the name of an ``ILogger.Severity``."""
        if level in ("INTERNAL_ERROR", "ERROR", "WARNING"):
            log.debug("TensorRT: %s", message)
            self._messages.append(f"[{level.lower()}] {message}")

    def clear(self) -> None:
        """Forget all messages: those of the calls that follow are of interest."""
        self._messages.clear()

    def errors(self, maximum: int = 5) -> str:
        """The last errors (the last warnings where there is none) on one line each; empty when all was well."""
        messages = [text for text in self._messages if not text.startswith("[warning]")] or list(self._messages)
        return "\n".join(f"  {text}" for text in messages[-maximum:])


@dataclass(frozen=True, slots=True)
class TensorRT:
    """An imported runtime.

    Attributes:
        name: Which of the two it is.
        api: Its module.
        version: Its version.
        cuda: The major version of the CUDA that it was made for; None where that is unknown.
        messages: What it logged last.
        logger: Its ``ILogger``, which fills ``messages``.
    """

    name: RuntimeName
    api: Any
    version: str
    cuda: str | None
    messages: MessageLog
    logger: Any

    @property
    def portable(self) -> bool:
        """Whether engines are built for compute capabilities instead of the GPU in this machine."""
        return self.name == "tensorrt-rtx"

    def builder(self) -> Builder:
        """A new builder of engines."""
        return cast(Builder, self.api.Builder(self.logger))

    def parser(self, network: NetworkDefinition) -> OnnxParser:
        """A new parser, which fills ``network``."""
        return cast(OnnxParser, self.api.OnnxParser(network, self.logger))

    def runtime(self) -> Runtime:
        """A new runtime, which loads engines."""
        return cast(Runtime, self.api.Runtime(self.logger))


def installed_runtimes() -> list[RuntimeName]:
    """The runtimes that can be imported, the preferred one first. Nothing is imported for it."""
    specs = {name: importlib.util.find_spec(module) for name, module in RUNTIMES.items()}
    return [name for name, spec in specs.items() if spec is not None and spec.origin]  # a mere folder has no origin


def rtx_supports(capability: str) -> bool:
    """Whether tensorrt-rtx is made for GPUs of this compute capability (``8.9``): Turing, Ampere, Ada and Blackwell's RTX
    cards, not the data centre's 8.0, 9.0 and 10.x, nor 8.7 (the support matrix of its documentation, 1.0 to 1.5)."""
    return capability in ("7.5", "8.6", "8.9") or capability.startswith("12.")


def load_runtime(name: RuntimeName | Literal["auto"] = "auto") -> TensorRT:
    """Import TensorRT.

    Args:
        name: Which; ``auto`` takes ``tensorrt`` where it is installed, else ``tensorrt-rtx``.

    Raises:
        MissingDependencyError: It is not installed, or its libraries do not load.
    """
    installed = installed_runtimes()
    if name == "auto":
        if not installed:
            raise MissingDependencyError(
                f"no TensorRT is installed: {install_extra('trt')} (tensorrt-rtx: RTX cards, and building without "
                f"a GPU), or {pip_install('tensorrt')} (data centre GPUs, Jetson)"
            )
        name = installed[0]
    if name not in installed:
        hint = install_extra("trt") if name == "tensorrt-rtx" else pip_install("tensorrt")
        raise MissingDependencyError(f"{name} is not installed: {hint}")
    return _load(name)


@cache
def _load(name: RuntimeName) -> TensorRT:
    module = RUNTIMES[name]
    try:
        api = importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(f"{name} is installed but does not load ({error}): reinstall it") from None
    messages = MessageLog()
    return TensorRT(name, api, str(api.__version__), _cuda_of(module), messages, _logger(api, messages))


def _cuda_of(module: str) -> str | None:
    """The major version of the CUDA that a wheel is for, from the name of its distribution (``..._cu13``)."""
    for distribution in importlib.metadata.distributions():
        found = re.fullmatch(rf"{module}[_-]cu(\d+)([_-]bindings)?", distribution.metadata["Name"] or "")
        if found:
            return found[1]
    return None


def _logger(api: Any, messages: MessageLog) -> Any:
    class Logger(api.ILogger):  # type: ignore[misc]
        """Passes TensorRT's messages on; must not raise, because C++ calls it."""

        def log(self, severity: Any, message: str) -> None:
            messages.add(severity.name, message)

    return Logger()
