"""The simulated fleet: what its numbers must be where they are known beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ferengine.cli.app import app
from ferengine_tools.fleet.coordinator_load import coordinator_load
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


def test_simulation_recovers_cameras_after_the_lease_and_opening() -> None:
    outcome = Simulation(SMALL, replace(QUIET, days=1, days_between_failures=0.1, lease=8.0)).run()
    assert outcome.node_failures > 20
    [(how, recovery)] = outcome.recoveries.items()
    assert how == "node"
    assert 7.6 + 0.5 < recovery.median <= recovery.p99 <= recovery.worst
    assert recovery.median < 8.4 + 0.8 + 3
    assert outcome.unread > 0


def test_simulation_stops_all_cameras_when_the_head_is_away_for_longer_than_a_lease() -> None:
    away = replace(QUIET, days=0.5, days_between_head_failures=0.05, head_seconds=60.0)
    outcome = Simulation(SMALL, away).run()
    assert outcome.recoveries["head"].cameras == outcome.head_failures * SMALL.cameras
    assert 56.5 < outcome.recoveries["head"].median < 70
    assert Simulation(SMALL, replace(away, head_seconds=3.0)).run().unread == 0


def test_simulation_takes_a_dead_node_away_only_when_the_head_is_back() -> None:
    away = replace(QUIET, days=0.5, days_between_failures=0.02, days_between_head_failures=0.02, head_seconds=120.0)
    assert Simulation(SMALL, away).run().recoveries["head and node"].worst > 120


def test_simulation_drains_each_node_once_a_week_without_a_gap() -> None:
    outcome = Simulation(SMALL, replace(QUIET, days=7, balance_seconds=3600, drains_at_once=4)).run()
    assert outcome.drains == SMALL.nodes
    assert outcome.unread == 0
    assert outcome.moves["node draining"] > 0


def test_simulation_measures_what_does_not_fit() -> None:
    outcome = Simulation(replace(SMALL, utilization=2.0), QUIET).run()
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


def test_coordinator_load_measures_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    coordinator_load([2, 3], 4)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["2", "8"], ["3", "12"]]
    assert all(float(value) >= 0 for line in lines[1:] for value in line.split())
