"""The classifier's network in TensorRT, and what happens when the GPU fails under it."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import DeviceError, ModelError
from ferengine.inference.base import InferenceBackend
from ferengine.inference.tensorrt.runner import EngineRunner

log = logging.getLogger(__name__)


class TensorRtBackend:
    """``runner``: an engine with one output (N, classes), which is closed with the backend.

    Two batches may be on their way: while one is computed the next is gathered into pinned memory.
    """

    name = "tensorrt"

    def __init__(self, runner: EngineRunner) -> None:
        self._runner = runner
        self.depth = runner.depth

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return _only(self._runner.run(batch))

    def input(self, count: int) -> NDArray[np.float32]:
        batch = self._runner.input()
        if count > len(batch):
            raise ModelError(f"the engine takes batches of {len(batch)} at most, not {count}")
        return batch[:count]

    def submit(self, count: int) -> None:
        self._runner.submit((count, *self._runner.input().shape[1:]))

    @property
    def in_flight(self) -> int:
        return self._runner.in_flight

    def is_done(self) -> bool:
        return self._runner.is_done()

    def collect(self) -> NDArray[np.float32]:
        return _only(self._runner.collect())

    def close(self) -> None:
        self._runner.close()


def _only(outputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(outputs) != 1:
        raise ModelError(f"the engine must have one output, not {', '.join(outputs)}")
    return next(iter(outputs.values()))


class FallbackBackend:
    """Runs on ``first`` until the GPU fails, then on what ``make_second`` makes; no batch is lost.

    ``on_failure`` is told the reason once; without it, it is logged as an error. What a lost GPU was working on is computed
    again from the batches themselves, which lie in host memory.
    """

    def __init__(
        self,
        first: InferenceBackend,
        make_second: Callable[[], InferenceBackend],
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self._first: InferenceBackend | None = first
        self._current = first
        self._make_second = make_second
        self._on_failure = on_failure
        self._pending: deque[NDArray[np.float32]] = deque()
        self._rescued: deque[NDArray[np.float32]] = deque()
        self._input: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """Of the one that runs now."""
        return self._current.name

    @property
    def depth(self) -> int:
        return self._current.depth

    @property
    def in_flight(self) -> int:
        return len(self._rescued) + len(self._pending)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return self._current.run(batch)
        except DeviceError as error:
            self._fall_back(error)
            return self._current.run(batch)

    def input(self, count: int) -> NDArray[np.float32]:
        self._input = self._current.input(count)
        return self._input

    def submit(self, count: int) -> None:
        assert self._input is not None, "submit before input"
        rows = self._input[:count]
        if self._first is None and self._rescued:  # the second has one lane, and answers come in order
            self._rescued.append(self._current.run(rows))
            return
        self._pending.append(rows)
        try:
            self._current.submit(count)
        except DeviceError as error:
            self._fall_back(error)

    def is_done(self) -> bool:
        try:
            return bool(self._rescued) or self._current.is_done()
        except DeviceError as error:
            self._fall_back(error)
            return True

    def collect(self) -> NDArray[np.float32]:
        if not self._rescued:
            try:
                logits = self._current.collect()
                self._pending.popleft()
                return logits
            except DeviceError as error:
                self._fall_back(error)
        return self._rescued.popleft()

    def close(self) -> None:
        self._current.close()

    def _fall_back(self, error: DeviceError) -> None:
        if self._first is None:
            raise error
        batches = [rows.copy() for rows in self._pending]
        self._pending.clear()
        traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
        self._first.close()
        self._first, self._current = None, self._make_second()
        self._rescued.extend(self._current.run(rows) for rows in batches)
        self._input = None
        if self._on_failure is not None:
            self._on_failure(str(error))
        else:
            log.error("the GPU failed; going on with ONNX Runtime on the CPU: %s", error)
