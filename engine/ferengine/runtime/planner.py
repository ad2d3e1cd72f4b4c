"""How many workers of each kind this machine should run, and with how many threads."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ferengine.config import EngineConfig
from ferengine.runtime.outlet import HOLD


@dataclass(frozen=True, slots=True)
class Plan:
    """Worker counts, threads of each inference session, and slots of each camera's frame ring."""

    detectors: int
    trackers: int
    threads: int
    ring_slots: int
    face_slots: int


def make_plan(cameras: int, config: EngineConfig, *, outputs: int = 0, growing: bool = False, cores: int | None = None) -> Plan:
    """A plan for ``cameras`` sources on ``cores`` processors (default: those that this process may use); ``growing``
    for as many as may come; ``outputs``: how many output workers keep frames of each.

    Small nets gain nothing from a second thread, so sessions get one each and stages run side by side; detection is
    the heaviest stage and gets every second core, but no more workers than cameras can keep busy.
    """
    cores = cores or len(os.sched_getaffinity(0))
    cameras = max(cameras, cores) if growing else cameras
    return Plan(
        detectors=max(1, min(cores // 2, 2 * cameras)),
        trackers=max(1, min(cores // 2, cameras)),
        threads=1,
        ring_slots=config.detect_every + 4 + outputs * HOLD,
        face_slots=256,
    )
