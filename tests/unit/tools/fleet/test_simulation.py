"""The simulated fleet: what its numbers must be where they are known beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ferengine.cli.app import app
from ferengine_tools.fleet.simulation import Operation, Simulation
from ferengine_tools.fleet.world import DAY, Fleet, World

SMALL = Fleet(nodes=12, cameras=60, sites=2)
NEVER = 1e9
QUIET = Operation(
    days=0.1, days_between_failures=NEVER, days_between_rack_failures=NEVER, days_between_head_failures=NEVER, drains_at_once=0
)


def test_simulation_is_the_same_with_the_same_seed_only() -> None:
    operation = Operation(days=0.2, days_between_failures=0.2)
    first = Simulation(SMALL, operation).run()
    assert Simulation(SMALL, operation).run() == first
    assert Simulation(replace(SMALL, seed=2), operation).run() != first


def test_simulation_without_failures_loses_nothing() -> None:
    outcome = Simulation(SMALL, QUIET).run()
    assert (outcome.node_failures, outcome.drains, outcome.head_failures, outcome.unread) == (0, 0, 0, 0)
    assert not outcome.recoveries
    assert outcome.moves.keys() <= {"balance"}


def test_simulation_recovers_cameras_after_detection_and_opening() -> None:
    outcome = Simulation(SMALL, replace(QUIET, days=1, days_between_failures=0.1, crash_detection=2, hang_detection=7)).run()
    assert outcome.node_failures > 20
    assert outcome.recoveries.keys() == {"crashed", "hung"}
    for how, least in (("crashed", 2.5), ("hung", 7.5)):
        recovery = outcome.recoveries[how]
        assert least < recovery.median <= recovery.p99 <= recovery.worst
        assert recovery.median < least + 4
    assert outcome.unread > 0


def test_simulation_places_nothing_while_the_head_is_away() -> None:
    away = Operation(days=0.5, days_between_failures=0.05, days_between_head_failures=0.01, head_seconds=120, drains_at_once=0)
    assert Simulation(SMALL, away).run().recoveries["head away"].worst > 60


def test_simulation_drains_each_node_once_a_week_without_a_gap() -> None:
    outcome = Simulation(SMALL, replace(QUIET, days=7, balance_seconds=3600, drains_at_once=4)).run()
    assert outcome.drains == SMALL.nodes
    assert outcome.unread == 0
    assert outcome.moves["node draining"] > 0


def test_simulation_measures_what_does_not_fit() -> None:
    outcome = Simulation(replace(SMALL, utilization=1.5), QUIET).run()
    assert (outcome.above, outcome.full > 50) == (100, True)


def test_world_has_the_mean_load_that_was_asked_for() -> None:
    world = World(Fleet(nodes=50, cameras=1000, sites=4, utilization=0.6))
    capacity = sum(node.capacity - node.load for node in world.nodes)
    loads = [world.loads(hour * 3600).sum() / capacity for hour in range(24)]
    assert np.mean(loads) == pytest.approx(0.6, abs=0.03)  # the crowd included
    assert max(loads) > 1.2 * min(loads)
    assert np.isfinite(world.loads(3 * DAY)).all()


def test_fleet_simulate_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    words = ["fleet-simulate", "--nodes", "4", "--cameras", "20", "--sites", "1", "--days", "0.05", "--json", str(file)]
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, words)
    assert result.exit_code == 0
    assert "20 cameras on 4 nodes at 1 sites" in result.stdout
    record = json.loads(file.read_text())
    assert (record["fleet"]["nodes"], record["operation"]["days"], record["outcome"]["still_unread"]) == (4, 0.05, 0)


@pytest.mark.parametrize(
    "option", ["--nodes=0", "--sites=600", "--cameras=0", "--days=0", "--utilization=0", "--hysteresis=-1"]
)
def test_fleet_simulate_refuses_numbers_that_make_no_fleet(option: str) -> None:
    result = CliRunner().invoke(app, ["fleet-simulate", option])
    assert result.exit_code != 0
    assert isinstance(result.exception, ValueError)
