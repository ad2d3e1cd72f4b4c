"""Faces of different cameras are classified in common batches."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from numpy.typing import NDArray

from ferengine import Engine, PushSource


def test_the_run_counts_its_mixed_batches(images: list[NDArray[np.uint8]]) -> None:
    """The classifier is stopped until the faces of both cameras wait for it."""
    with Engine([PushSource("door", wait=True), PushSource("yard", wait=True)], detector="haar") as engine:
        results = engine.results()
        assert engine.wait_ready(120)
        classifier = engine.worker_pids()["classify"]
        os.kill(classifier, signal.SIGSTOP)
        for number in range(8):
            for camera in ("door", "yard"):
                assert engine.push(camera, images[number], number / 30, timeout=60)
        while min(engine._state.cameras.named(camera).joiner.waiting for camera in ("door", "yard")) < 8:
            time.sleep(0.01)
        os.kill(classifier, signal.SIGCONT)
        engine.end_source("door")
        engine.end_source("yard")
        faces = sum(len(result.faces) for result in results)
        batch = engine.summary()["batch"]
    assert batch["faces"] == faces >= 16
    assert batch["mixed"] >= 1
    assert batch["batches"] < faces / 2
