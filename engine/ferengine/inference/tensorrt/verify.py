"""Whether an engine computes what its network does: one that does not fit its GPU may load, run and give zeros."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.inference.base import Batch, Outputs, Runner, Shape, fixed_sizes
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.models.manifest import Normalisation
from ferengine.models.self_test import self_test_crops
from ferengine.models.settings import Precision

_TOLERANCES: dict[Precision, float] = {"fp32": 0.01, "fp16": 0.1, "int8": 0.5}
"""Of the largest difference, as a fraction of the largest value: wide, to find what is broken, not what is rounded."""

_ROUGHLY = Normalisation(128, 64)
"""About what networks expect of faces."""

_OPEN_SIDE = 48  # pixels, where the network takes any


def check_outputs(runner: EngineRunner, reference: Runner, precision: Precision, max_batch: int) -> None:
    """Compare what an engine computes of a few faces with what its network gives: in every profile, and for rows of one shape
    in every size of batch that it was warmed up for, so by the very kernels and graphs that will run.

    Args:
        runner: The engine's.
        reference: Runs the network itself, on the CPU.
        precision: The engine's.
        max_batch: The largest batch that will run.

    Raises:
        ModelError: An output differs by more than the precision explains.
    """
    for low, _, high in runner.profiles:
        faces = _rows(low, high)
        rows: Batch = faces if runner.input_dtype == np.uint8 else _ROUGHLY.of(faces)
        expected = reference.run(rows)
        _compare(runner, rows, expected, precision)
        if low[1:] != high[1:]:
            continue  # such rows are not warmed up: their shapes never end
        runner.warm_up(rows.shape[1:], max_batch)
        for size in fixed_sizes(min(max_batch, high[0])):
            chosen = np.arange(max(size, low[0])) % len(rows)
            for _ in range(runner.depth):  # each has contexts and graphs of its own
                _compare(runner, rows[chosen], {name: values[chosen] for name, values in expected.items()}, precision)


def _compare(runner: EngineRunner, rows: Batch, expected: Outputs, precision: Precision) -> None:
    found = runner.run(rows)
    for name, wanted in expected.items():
        difference = float(np.abs(found[name] - wanted).max() / np.abs(wanted).max())
        if not difference <= _TOLERANCES[precision]:  # nor NaN
            raise ModelError(
                f"the engine's {name} differ from ONNX Runtime's by {difference:.2g} of their largest, for an input of shape "
                f"{rows.shape}: it does not run correctly on this GPU; build it again, or use --backend ort"
            )


def _rows(low: Shape, high: Shape) -> NDArray[np.uint8]:
    """Faces, (n, channels, H, W) of a shape that this profile of an engine takes and no smaller one."""
    channels, height, width = low[1], high[2], high[3] if low[3] == high[3] else min(_OPEN_SIDE, high[3])
    crops = self_test_crops(max(height, width))[:, None, :height, :width]
    count = max(low[0], min(len(crops), high[0]))
    return np.ascontiguousarray(np.resize(crops, (count, 1, height, width)).repeat(channels, axis=1))
