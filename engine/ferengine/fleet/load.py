"""Loads and capacities in CPU cores, from what engines and nodes measure.

The CPU time of a node's engine is known, that of one camera is not: workers serve many. So the measured CPU time is divided
among the cameras in the ratio of what their pixels and faces are known to cost. The estimate alone serves a camera that was
not measured yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

CORE_SECONDS_PER_MEGAPIXEL = 0.007
"""Decoding and detection, one frame in six a full scan; see the table of CPU time a frame in the page on performance."""
CORE_SECONDS_PER_FACE = 0.0008
"""Tracking and classification by the default model on the CPU; the same table."""
HEADROOM = 0.8
"""Fraction of a node's cores that cameras may take; the rest is for bursts of faces and the hysteresis of the placement."""


@dataclass(frozen=True)
class CameraRate:
    """What one camera brought in a period.

    Attributes:
        frames: Frames a second.
        width: Of its frames, in pixels.
        height: Of its frames, in pixels.
        faces: Faces a second, all frames together.
    """

    frames: float
    width: int
    height: int
    faces: float = 0.0

    def estimate(self) -> float:
        """Return the load that such a camera is known to cost, in cores.

        Example:
            >>> round(CameraRate(frames=25, width=1280, height=720, faces=50).estimate(), 2)
            0.2
        """
        megapixels = self.frames * self.width * self.height / 1e6
        return megapixels * CORE_SECONDS_PER_MEGAPIXEL + self.faces * CORE_SECONDS_PER_FACE


def camera_loads(rates: Mapping[str, CameraRate], engine_cores: float) -> dict[str, float]:
    """Divide the CPU time of one engine among its cameras.

    Args:
        rates: Each camera of the engine, over the same period.
        engine_cores: CPU seconds a second of all processes of the engine. What it needs for itself is divided too.

    Returns:
        Camera to load, in cores; the sum is `engine_cores`, unless no camera brought anything. Those that did not have no load.

    Example:
        >>> camera_loads({"door": CameraRate(25, 640, 360), "yard": CameraRate(25, 1280, 720)}, 0.5)
        {'door': 0.1, 'yard': 0.4}
    """
    estimates = {name: rate.estimate() for name, rate in rates.items()}
    total = sum(estimates.values())
    return {name: engine_cores * estimate / total if total else 0.0 for name, estimate in estimates.items()}


def smooth_load(before: float, measured: float, seconds: float, time_constant: float = 300.0) -> float:
    """Return an exponential mean of a load, so that a burst of faces does not move cameras.

    Args:
        before: The mean so far.
        measured: The mean of the last period.
        seconds: Its length.
        time_constant: Seconds after which a step is followed to 63 %.
    """
    return measured + (before - measured) * math.exp(-seconds / time_constant)


def node_capacity(cores: float, gpu_memory_free: int | None = None, gpu_memory_needed: int = 0) -> float:
    """Return what cameras and other programs may take of a node, in cores.

    An engine on a GPU takes its memory when it starts, for the networks and their largest batch, and no more with each camera.
    So that memory decides whether there is an engine at all.

    Args:
        cores: That the node's container or machine allows, whole or not.
        gpu_memory_free: Bytes, the engine's own memory included if it runs; None for an engine on the CPU.
        gpu_memory_needed: Bytes that the engine takes.

    Returns:
        `HEADROOM` times the cores, or 0 if the GPU's memory is not enough.
    """
    if gpu_memory_free is not None and gpu_memory_free < gpu_memory_needed:
        return 0.0
    return HEADROOM * cores


def other_load(cores: float, idle_cores: float, engine_cores: float) -> float:
    """Return what other programs take of a node, in cores: what is neither idle nor the engine's.

    The three are measured one after the other, so that small negative differences come up; they count as 0.
    """
    return max(0.0, cores - idle_cores - engine_cores)
