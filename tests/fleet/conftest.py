"""One cluster of three nodes for all tests: ``--fleet-rounds N`` repeats moves and kills, and from 2 on runs all tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the extra may be missing
    from fleet_help import Machines, Watcher


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    from fleet_help import Machines

    made = Machines("b", "c", durable=any("head" in item.name for item in request.session.items))
    yield made
    made.close()


@pytest.fixture(scope="session")
def watcher(machines: Machines) -> Iterator[Watcher]:
    """A fleet of three cameras; a fourth has a password, and does not answer."""
    from ferengine.fleet.fleet import Fleet
    from fleet_help import LEASE, Watcher, slow_camera, wait_for

    cameras = [slow_camera(name) for name in ("one", "two", "three")]
    with Fleet(cameras, address=machines.address, lease=LEASE, min_face=60.0) as fleet:
        watcher = Watcher(fleet)
        wait_for(lambda: len(watcher.health().nodes) == 3, "three nodes")
        wait_for(lambda: watcher.running("one", "two", "three"), "three cameras")
        yield watcher
        watcher.close()


@pytest.fixture
def long_run(rounds: int) -> None:
    """Some tests take long."""
    if rounds < 2:
        pytest.skip("takes long: --fleet-rounds 2 or more runs it")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    found: int = request.config.getoption("--fleet-rounds")
    return found
