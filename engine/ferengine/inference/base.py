"""What runs a network: one protocol, whatever computes and wherever."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.models.manifest import Normalisation

Array = NDArray[np.float32]
Batch = NDArray[np.float32] | NDArray[np.uint8]
"""What a network reads: normalised rows, float32, or crops as they are, uint8."""

Shape = tuple[int, ...]
Outputs = dict[str, Array]
"""The outputs of a batch by name, each with one row for each row of the batch."""

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Batches on a GPU are padded to the next of these, or to the largest batch: each shape costs a search, memory, a graph."""


class Runner(Protocol):
    """Runs one network, which has one input, (N, C, H, W), and any number of named float32 outputs.

    The input is float32; or uint8, where the network normalises crops by itself, which a GPU's does: a quarter of the bytes
    goes there.

    The life of a runner: it is open once it is made. Batches go through it in the order in which they are submitted, up to
    ``depth`` of them at a time. ``close`` ends it. A batch takes these steps::

        rows = runner.input((count, channels, height, width))  # where the batch is gathered
        rows[:] = ...
        runner.submit(count)                                    # computing begins
        ...                                                     # other work, for as long as not runner.is_done()
        outputs = runner.collect()                              # waits where it is not done yet

    ``run`` takes all of them for a batch that lies in an array of its own. Runners are not thread-safe, but any one thread at
    a time may use one.

    Where the GPU fails, ``run``, ``submit``, ``is_done`` and ``collect`` raise DeviceError. Calls that break the order above
    (a batch beyond ``depth``, ``collect`` with nothing in flight) are defects of the caller and raise RuntimeError.
    """

    @property
    def name(self) -> str:
        """The backend that computes, as ``--backend`` names it."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """The keys of what ``run`` and ``collect`` return."""
        ...

    @property
    def input_dtype(self) -> np.dtype[Any]:
        """float32 or uint8; it stays the same as long as the runner is open."""
        ...

    @property
    def depth(self) -> int:
        """How many batches may be in flight at a time."""
        ...

    @property
    def in_flight(self) -> int:
        """Batches submitted and not yet collected."""
        ...

    def capacity(self, row: Shape) -> int:
        """The largest batch of rows of one shape.

        Args:
            row: The shape of a row, (C, H, W).

        Returns:
            How many such rows ``input`` takes; 0 where the network takes none of that shape.
        """
        ...

    def warm_up(self, row: Shape, largest: int) -> None:
        """Make what batches of rows of one shape need, so that the first of each size is not late.

        On a GPU each fixed size needs algorithms or kernels, memory and a graph; on a CPU the largest batch needs memory.

        Args:
            row: The shape of a row, (C, H, W).
            largest: The largest batch that will come.

        Raises:
            ModelError: The network does not take such rows.
            DeviceError: The GPU failed.
            RuntimeError: Batches are in flight.
        """
        ...

    def input(self, shape: Shape) -> Batch:
        """Memory to gather the next batch into; what it holds at first is undefined.

        Args:
            shape: (N, C, H, W), N from 1 to the capacity for such rows.

        Returns:
            ``input_dtype`` of that shape, on a GPU in pinned memory. It is the runner's, and valid until ``submit``.

        Raises:
            ModelError: The network does not take such a batch.
        """
        ...

    def submit(self, count: int) -> None:
        """Begin computing the first ``count`` rows of what ``input`` returned last.

        Args:
            count: From 1 to the number of rows that ``input`` was called with.

        Raises:
            DeviceError: The GPU failed. Where it does so later, ``is_done`` or ``collect`` raise it.
            RuntimeError: ``depth`` batches are in flight already, or ``input`` was not called before.
        """
        ...

    def is_done(self) -> bool:
        """Whether the oldest batch in flight can be collected without waiting; False where there is none."""
        ...

    def collect(self) -> Outputs:
        """The outputs of the oldest batch in flight, waiting for them if need be.

        Returns:
            float32 arrays by name, ``count`` rows each. They are the runner's, and valid until the next ``submit``.

        Raises:
            DeviceError: The GPU failed.
            RuntimeError: No batch is in flight.
        """
        ...

    def run(self, batch: Batch) -> Outputs:
        """Compute a batch at once.

        Args:
            batch: ``input_dtype`` (N, C, H, W), N >= 1. What exceeds the capacity is computed in several batches.

        Returns:
            float32 arrays by name, N rows each. They are the caller's.

        Raises:
            ModelError: The network does not take such a batch.
            DeviceError: The GPU failed.
            RuntimeError: Batches are in flight.
        """
        ...

    def close(self) -> None:
        """Release the memory and the device. Nothing but ``close`` may be called afterwards."""
        ...


def check_dtype(batch: Batch, runner: Runner) -> None:
    """Check that a batch is of the type that a runner takes.

    Raises:
        ModelError: It is of another type.
    """
    if batch.dtype != runner.input_dtype:
        raise ModelError(f"the network does not run on {batch.dtype} {batch.shape}: its input is {runner.input_dtype}")


def as_input(crops: NDArray[np.uint8], runner: Runner, normalisation: Normalisation) -> Batch:
    """Crops as a runner takes them.

    Args:
        crops: uint8 (N, S, S), or in colour (N, 3, S, S).
        runner: What is to run on them.
        normalisation: What its network expects.

    Returns:
        (N, 1, S, S) or (N, 3, S, S), uint8 as they are where the network normalises them, else float32.
    """
    rows = crops[:, None] if crops.ndim == 3 else crops
    return rows if runner.input_dtype == np.uint8 else normalisation.of(rows)


def padded_size(count: int, largest: int) -> int:
    """The size that a batch is run with on a GPU.

    Args:
        count: Its rows, from 1 to ``largest``.
        largest: The largest batch there can be; it is a size of its own.

    Example:
        >>> padded_size(3, 300), padded_size(200, 300), padded_size(260, 300)
        (4, 256, 300)
    """
    return min(next((size for size in BATCH_SIZES if size >= count), largest), largest)


def fixed_sizes(largest: int) -> list[int]:
    """All sizes that ``padded_size`` gives for batches of up to ``largest`` rows, in ascending order."""
    return [*(size for size in BATCH_SIZES if size < largest), largest]


def only_output(outputs: Outputs) -> Array:
    """The output of a network that has one.

    Args:
        outputs: What ``Runner.run`` or ``Runner.collect`` returned.

    Raises:
        ModelError: There are several outputs, or none.
    """
    if len(outputs) != 1:
        raise ModelError(f"the network must have one output, not {', '.join(outputs) or 'none'}")
    return next(iter(outputs.values()))


def joined(parts: list[Outputs]) -> Outputs:
    """The outputs of several batches as those of one, in new arrays where there is more than one part."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
