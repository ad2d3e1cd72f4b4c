"""Whether an engine computes what its network does: one that does not fit its GPU may load, run and give zeros."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import ModelError
from ferengine.inference.base import Runner
from ferengine.inference.tensorrt.runner import EngineRunner
from ferengine.models.self_test import self_test_crops
from ferengine.models.settings import Precision

_TOLERANCES: dict[Precision, float] = {"fp32": 0.01, "fp16": 0.1, "int8": 0.5}
"""Of the largest difference, as a fraction of the largest value: wide, to find what is broken, not what is rounded."""

_OPEN_SIDE = 48  # pixels, where the network takes any


def check_outputs(runner: EngineRunner, reference: Runner, precision: Precision) -> None:
    """Compare what an engine computes of a few faces with what its network gives.

    Args:
        runner: The engine's.
        reference: Runs the network itself, on the CPU.
        precision: The engine's.

    Raises:
        ModelError: An output differs by more than the precision explains.
    """
    rows = _rows(runner)
    found, expected = runner.run(rows), reference.run(rows)
    for name, wanted in expected.items():
        difference = float(np.abs(found[name] - wanted).max() / np.abs(wanted).max())
        if not difference <= _TOLERANCES[precision]:  # nor NaN
            raise ModelError(
                f"the engine's {name} differ from ONNX Runtime's by {difference:.2g} of their largest: it does not run "
                "correctly on this GPU; build it again, or use --backend ort"
            )


def _rows(runner: EngineRunner) -> NDArray[np.float32]:
    """float32 (n, channels, H, W) of a shape that the engine takes, about as networks expect faces."""
    low, _, high = min(runner.profiles)
    channels, height, width = (a if a == b else min(_OPEN_SIDE, b) for a, b in zip(low[1:], high[1:], strict=True))
    crops = self_test_crops(max(height, width))[:, None, :height, :width].astype(np.float32)
    count = max(low[0], min(len(crops), high[0]))
    return np.ascontiguousarray(np.resize((crops - 128) / 64, (count, 1, height, width)).repeat(channels, axis=1))
