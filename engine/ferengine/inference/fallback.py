"""Going on on the CPU where the GPU fails."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from ferengine.errors import DeviceError, FerengineError
from ferengine.inference.base import Batch, Outputs, Runner, Shape

log = logging.getLogger(__name__)


class Closeable(Protocol):
    """Holds a device until it is closed."""

    def close(self) -> None: ...


_T = TypeVar("_T", bound=Closeable)


class Fallback(Generic[_T]):
    """One of two implementations: the first until it fails, then the second.

    Args:
        first: What runs on the GPU.
        open_second: Makes what takes its place; called when the first fails, never before.
        on_failure: Called once with the reason of the failure. By default it is logged as an error.
        restarts: As of ``BackendSettings``.

    Attributes:
        current: The one in use.
    """

    def __init__(
        self,
        first: _T,
        open_second: Callable[[], _T],
        on_failure: Callable[[str], None] | None = None,
        *,
        restarts: bool = False,
    ) -> None:
        self.current = first
        self._restarts = restarts
        self._open_second: Callable[[], _T] | None = open_second
        self._on_failure = on_failure or _log_failure

    def replace(self, error: FerengineError) -> _T:
        """Close the first and open the second in its place.

        Args:
            error: What the first raised.

        Returns:
            The second, which is ``current`` from now on.

        Raises:
            FerengineError: ``error`` itself, where the second was in use already, or where the process is to end for it.
        """
        if self._open_second is None or (self._restarts and is_lost(error)):
            raise error
        open_second, self._open_second = self._open_second, None
        traceback.clear_frames(error.__traceback__)  # they hold contexts, which must go before the device does
        self.current.close()
        try:
            self.current = open_second()
        finally:
            self._on_failure(str(error))  # also where the second cannot be opened
        return self.current

    def close(self) -> None:
        """Close the one in use."""
        self.current.close()


def is_lost(error: FerengineError) -> bool:
    """Whether CUDA works no more in this process, while it may in another."""
    return isinstance(error, DeviceError) and error.lost


def _log_failure(reason: str) -> None:
    log.error("the GPU failed; continuing on the CPU: %s", reason)


class FallbackRunner:
    """Runs a network on a GPU until that fails, then on the CPU; implements ``ferengine.inference.base.Runner``.

    No batch is lost: what the GPU was working on is computed again from the batches themselves, which lie in host memory.
    Arguments are those of ``Fallback``; both take the same ``input_dtype``.
    """

    def __init__(
        self,
        first: Runner,
        open_second: Callable[[], Runner],
        on_failure: Callable[[str], None] | None = None,
        *,
        restarts: bool = False,
    ) -> None:
        self._fallback = Fallback(first, open_second, on_failure, restarts=restarts)
        self._rows: Batch | None = None
        self._submitted: deque[Batch] = deque()
        self._rescued: deque[Outputs] = deque()

    @property
    def name(self) -> str:
        """Of the runner that computes now."""
        return self._fallback.current.name

    @property
    def output_names(self) -> tuple[str, ...]:
        return self._fallback.current.output_names

    @property
    def input_dtype(self) -> np.dtype[Any]:
        return self._fallback.current.input_dtype

    @property
    def depth(self) -> int:
        return self._fallback.current.depth

    @property
    def in_flight(self) -> int:
        return len(self._rescued) + len(self._submitted)

    def capacity(self, row: Shape) -> int:
        return self._fallback.current.capacity(row)

    def warm_up(self, row: Shape, largest: int) -> None:
        try:
            self._fallback.current.warm_up(row, largest)
        except DeviceError as error:
            self._fall_back(error)

    def input(self, shape: Shape) -> Batch:
        self._rows = self._fallback.current.input(shape)
        return self._rows

    def submit(self, count: int) -> None:
        if self.in_flight >= self.depth:
            raise RuntimeError(f"{self.in_flight} batches are in flight: collect one first")
        if self._rows is None:
            raise RuntimeError("submit before input")
        self._submitted.append(self._rows[:count])
        try:
            self._fallback.current.submit(count)
        except DeviceError as error:
            self._fall_back(error)

    def is_done(self) -> bool:
        try:
            return bool(self._rescued) or self._fallback.current.is_done()
        except DeviceError as error:
            self._fall_back(error)
            return True

    def collect(self) -> Outputs:
        if not self._rescued:
            try:
                outputs = self._fallback.current.collect()
                self._submitted.popleft()
                return outputs
            except DeviceError as error:
                self._fall_back(error)
        return self._rescued.popleft()

    def run(self, batch: Batch) -> Outputs:
        if self.in_flight:
            raise RuntimeError("batches are in flight: collect them first")
        try:
            return self._fallback.current.run(batch)
        except DeviceError as error:
            self._fall_back(error)
            return self._fallback.current.run(batch)

    def close(self) -> None:
        self._submitted.clear()
        self._rescued.clear()
        self._fallback.close()

    def _fall_back(self, error: DeviceError) -> None:
        batches = [rows.copy() for rows in self._submitted]  # they lie in memory that the first takes with it
        self._submitted.clear()
        self._rows = None
        second = self._fallback.replace(error)
        self._rescued.extend(second.run(rows) for rows in batches)
