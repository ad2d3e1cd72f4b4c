"""What a simulated fleet consists of: nodes of several sizes at sites, and cameras whose load follows the hour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferengine.fleet.load import CORE_SECONDS_PER_FACE, CORE_SECONDS_PER_MEGAPIXEL, node_capacity
from ferengine.fleet.placement import Node

DAY = 86_400.0
_CORES = ((4, 0.2), (8, 0.5), (16, 0.3))
"""Sizes of nodes, and how frequent each is."""
_FRAMES = ((640, 360, 25), (1280, 720, 10), (1280, 720, 25), (1920, 1080, 10), (1920, 1080, 25))
"""Width, height and frames/s of cameras, equally frequent."""
_NIGHT = 0.1
"""Faces at three in the morning, as a fraction of those at three in the afternoon."""
_CROWD = 3.0
"""How many times as many faces a site has while there is a crowd."""
_NOISE = 0.3
"""Standard deviation of the logarithm of the faces of one camera around the mean of the hour."""
_NOISE_SECONDS = 1800.0
"""Time after which that deviation is forgotten to 37 %."""


@dataclass(frozen=True)
class Fleet:
    """How large a simulated fleet is, and how loaded.

    Attributes:
        nodes: Number of nodes.
        cameras: Number of cameras.
        sites: Number of sites; nodes and cameras are spread over them evenly.
        bound: Fraction of the cameras that only the nodes of their site reach.
        utilization: Mean load of a day as a fraction of the capacity of all nodes.
        seed: Of all random numbers.
    """

    nodes: int = 500
    cameras: int = 10_000
    sites: int = 20
    bound: float = 0.5
    utilization: float = 0.55
    seed: int = 1


class World:
    """The true loads of a fleet at any time, in cores.

    Decoding costs the same at every hour. Faces follow the hour, a slow noise of each camera, and a crowd of two hours at one
    site a day. The sites lie in four time zones, two hours apart.
    """

    def __init__(self, fleet: Fleet) -> None:
        rng = np.random.default_rng([fleet.seed, 0])
        self.nodes = [
            Node(
                f"node-{i:04}",
                {"site": f"site-{i % fleet.sites:02}"},
                capacity=node_capacity(cores := int(rng.choice([c for c, _ in _CORES], p=[p for _, p in _CORES]))),
                load=float(rng.uniform(0, 0.05 * cores)),
            )
            for i in range(fleet.nodes)
        ]
        self.names = [f"camera-{i:05}" for i in range(fleet.cameras)]
        self.site = np.arange(fleet.cameras) % fleet.sites
        bound = rng.random(fleet.cameras) < fleet.bound
        self.affinity = [
            {"site": f"site-{site:02}"} if is_bound else {} for site, is_bound in zip(self.site, bound, strict=True)
        ]
        kinds = np.array(_FRAMES, np.float64)[rng.integers(len(_FRAMES), size=fleet.cameras)]
        self._decoding = kinds.prod(axis=1) / 1e6 * CORE_SECONDS_PER_MEGAPIXEL
        self._faces = rng.exponential(5.0, fleet.cameras) * kinds[:, 2] * CORE_SECONDS_PER_FACE
        mean = self._decoding.sum() + self._faces.sum() * (1 + _NIGHT) / 2
        capacity = sum(node.capacity - node.load for node in self.nodes)
        self._scale = fleet.utilization * capacity / mean
        self._zone = (self.site % 4) * 2 * 3600.0
        self._sites = fleet.sites
        self._noise_rng = np.random.default_rng([fleet.seed, 1])
        self._crowd_rng = np.random.default_rng([fleet.seed, 2])
        self._noise = self._noise_rng.normal(0, _NOISE, fleet.cameras)
        self._crowds: list[tuple[int, float]] = []  # site and start of each day's
        self._now = 0.0

    def loads(self, now: float) -> NDArray[np.float64]:
        """Return the load of each camera at a time that is not before the last one asked for.

        Args:
            now: Seconds since midnight of the first day.

        Returns:
            float64 (cameras,), cores.
        """
        kept = math.exp(-(now - self._now) / _NOISE_SECONDS)
        fresh = self._noise_rng.normal(0, _NOISE, len(self._noise))
        self._noise = kept * self._noise + math.sqrt(1 - kept**2) * fresh
        self._now = now
        hour = (now + self._zone) / DAY  # the lowest at three in the morning
        day = _NIGHT + (1 - _NIGHT) * (0.5 - 0.5 * np.cos(2 * np.pi * (hour - 3 / 24)))
        faces = self._faces * day * np.exp(self._noise - _NOISE**2 / 2)
        while len(self._crowds) <= now // DAY:
            start = len(self._crowds) * DAY + self._crowd_rng.uniform(8, 20) * 3600
            self._crowds.append((int(self._crowd_rng.integers(self._sites)), start))
        site, start = self._crowds[int(now // DAY)]
        if start <= now < start + 7200:
            faces = np.where(self.site == site, faces * _CROWD, faces)
        return np.asarray(self._scale * (self._decoding + faces), np.float64)
