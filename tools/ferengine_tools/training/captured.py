"""A training step as one CUDA graph.

A step of these small networks is 300 to 600 kernels of a few microseconds each, and launching them takes longer than running
them. Captured once and replayed, the whole step is one launch: https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Step = Callable[[Tensor], tuple[Tensor, ...]]
_WARM_UP = 3
"""Steps before the capture, as torch asks for: they choose algorithms and allocate the optimiser's moments."""


class CapturedStep:
    """Calls a step the first few times, captures it then, and replays it from there on.

    What the step reads and writes must stay where it is (weights, moments, the learning rate as a tensor), its random numbers
    come from generators of the device, and it may not wait for the device.

    Args:
        step: Takes rows, int64 (n,), on the device, always as many.
        generator: The device's own, that the step draws from beside the default one.
    """

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self._step, self._generator = step, generator
        self._stream: Any = torch.cuda.Stream()
        self._graph: Any = None
        self._rows: Tensor | None = None
        self._results: tuple[Tensor, ...] = ()
        self._calls = 0

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Run one step; what it returns is overwritten by the next one."""
        if self._graph is not None:
            assert self._rows is not None
            self._rows.copy_(rows)
            self._graph.replay()
            return self._results
        self._calls += 1
        if self._calls <= _WARM_UP:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                results = self._step(rows)
            torch.cuda.current_stream().wait_stream(self._stream)
            return results
        self._rows = rows.clone()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.cuda.graph(graph, stream=self._stream):  # records, runs nothing
            self._results = self._step(self._rows)
        self._graph = graph
        graph.replay()
        return self._results
