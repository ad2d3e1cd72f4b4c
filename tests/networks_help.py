"""Networks side by side, fed without a face ring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferengine.classification.parallel_heads import ParallelClassifier


def read_crops(networks: ParallelClassifier, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What all networks say of grey crops (n, S, S): each gets them in its own number of planes, normalised as it wants."""
    for each in networks.inputs(len(crops)):
        planes = np.repeat(crops[:, None], each.crop.channels, axis=1).astype(np.float32)
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (each.mean, each.std))
        each.rows[:] = (planes - mean) * (np.float32(1) / std)
    networks.submit(len(crops))
    return networks.collect()
