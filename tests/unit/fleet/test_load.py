"""Loads and capacities from measurements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.fleet.load import CameraRate, camera_loads, node_capacity, other_load, smooth_load

RATES = st.builds(CameraRate, st.floats(0, 60), st.integers(1, 4000), st.integers(1, 4000), st.floats(0, 500))


@given(st.dictionaries(st.text(max_size=3), RATES, min_size=1), st.floats(0, 100))
def test_camera_loads_add_up_to_what_the_engine_takes(rates: dict[str, CameraRate], cores: float) -> None:
    loads = camera_loads(rates, cores)
    assert loads.keys() == rates.keys()
    busy = sum(rate.estimate() for rate in rates.values()) > 1e-300
    assert sum(loads.values()) == pytest.approx(cores if busy else 0, abs=1e-9)


def test_camera_loads_follow_pixels_and_faces() -> None:
    small, large, crowd = CameraRate(25, 640, 360), CameraRate(25, 1280, 720), CameraRate(25, 640, 360, faces=25 * 8)
    loads = camera_loads({"small": small, "large": large, "crowd": crowd}, 1.0)
    assert loads["large"] == pytest.approx(4 * loads["small"])
    assert loads["crowd"] == pytest.approx((1 + 8 * 0.0008 / (0.2304 * 0.007)) * loads["small"])


@pytest.mark.parametrize(("width", "height", "faces", "microseconds"), [(596, 336, 1, 2320), (1920, 1080, 5.49, 19150)])
def test_estimate_is_near_the_measured_clips(width: int, height: int, faces: float, microseconds: float) -> None:
    # the table of CPU time a frame in docs/pages/reference/performance.md
    assert CameraRate(1, width, height, faces).estimate() * 1e6 == pytest.approx(microseconds, rel=0.06)


def test_smooth_load_follows_a_step_to_63_percent_in_a_time_constant() -> None:
    load = 0.0
    for _ in range(30):
        load = smooth_load(load, 1.0, seconds=10)
    assert load == pytest.approx(0.632, abs=0.001)
    assert smooth_load(2.0, 2.0, seconds=10) == 2.0


def test_node_capacity_leaves_headroom_and_needs_the_memory_of_an_engine() -> None:
    assert node_capacity(16) == pytest.approx(12.8)
    assert node_capacity(16, gpu_memory_free=2 << 30, gpu_memory_needed=1 << 30) == pytest.approx(12.8)
    assert node_capacity(16, gpu_memory_free=1 << 29, gpu_memory_needed=1 << 30) == 0


def test_other_load_is_what_is_neither_idle_nor_the_engines() -> None:
    assert other_load(cores=8, idle_cores=5, engine_cores=2) == 1
    assert other_load(cores=8, idle_cores=6.5, engine_cores=2) == 0
