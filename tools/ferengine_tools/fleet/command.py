"""``ferengine fleet-simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ferengine.errors import UsageError


def fleet_simulate(
    nodes: Annotated[int, typer.Option(help="Nodes of the fleet.")] = 500,
    cameras: Annotated[int, typer.Option(help="Cameras of the fleet.")] = 10_000,
    sites: Annotated[int, typer.Option(help="Sites; half of the cameras can be read by nodes of their site only.")] = 20,
    utilization: Annotated[
        float, typer.Option(help="Mean load of a day, as a fraction of what the nodes may carry (80 % of their cores).")
    ] = 0.55,
    days: Annotated[float, typer.Option(help="Days to simulate.")] = 1.0,
    hysteresis: Annotated[float, typer.Option(help="Smallest gain of a move for balance, as a fraction of a node.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write settings and results there.")] = None,
) -> None:
    """Simulate where a fleet reads its cameras, with failures, days and nights and maintenance.

    The placement is the one that ferengine fleet uses; time, loads and failures are simulated. Two runs with the same options
    give the same results, apart from the CPU time. A day of 500 nodes takes about a minute and a half.
    """
    if not (1 <= sites <= nodes <= 100_000 and 1 <= cameras <= 1_000_000):
        raise UsageError("--nodes is from 1 to 100000, --sites from 1 to --nodes, --cameras from 1 to 1000000")
    if not (0.01 <= days <= 365 and 0 < utilization <= 2 and 0 <= hysteresis <= 1 and seed >= 0):
        raise UsageError("--days is from 0.01 to 365, --utilization from 0 to 2, --hysteresis from 0 to 1, --seed at least 0")
    from dataclasses import asdict

    from ferengine.json_text import json_text
    from ferengine_tools.files import written_whole
    from ferengine_tools.fleet.simulation import Operation, Simulation
    from ferengine_tools.fleet.world import Fleet

    fleet = Fleet(nodes, cameras, sites, utilization=utilization, seed=seed)
    operation = Operation(days=days, hysteresis=hysteresis)
    simulation = Simulation(fleet, operation)
    length = "1 day" if days == 1 else f"{days:g} days"
    messages = Console(stderr=True, highlight=False)
    if not messages.is_terminal:
        messages.print(f"simulating {length} of {nodes} nodes", soft_wrap=True)
    with Progress(console=messages, transient=True, disable=not messages.is_terminal) as progress:
        task = progress.add_task(f"simulating {length}", total=1.0)
        outcome = simulation.run(lambda done: progress.update(task, completed=done))
    cost = simulation.cost

    console = Console(highlight=False)
    title = f"{cameras} cameras on {nodes} nodes at {sites} sites, {length}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(width=52)
    table.add_column()
    table.add_row("nodes failed / drained, head failed", f"{outcome.node_failures} / {outcome.drains}, {outcome.head_failures}")
    for reason, count in outcome.moves.items():
        table.add_row(f"moves a day: {reason}", f"{count:.0f}")
    table.add_row("planned moves of a camera a day", f"{outcome.moves_per_camera:.2f}")
    for how, recovery in outcome.recoveries.items():
        times = f"{recovery.median:.1f} / {recovery.p99:.1f} / {recovery.worst:.1f} s, {recovery.cameras} cameras"
        table.add_row(f"recovery ({how} failed): median / 99 % / worst", times)
    table.add_row("cameras not read, of all time", f"{outcome.unread:.1f} ppm")
    table.add_row("cameras not read at the end", f"{outcome.still_unread}")
    table.add_row("utilization: standard deviation between nodes", f"{outcome.spread:.3f}")
    table.add_row("utilization: fullest node, mean over time", f"{outcome.highest:.2f}")
    table.add_row("node-hours above the capacity / all cores", f"{outcome.above:.3f} / {outcome.full:.3f} %")
    table.add_row("CPU time of a placement: mean / worst", f"{cost.mean:.2f} / {cost.worst:.2f} s, {cost.calls} placements")
    console.print(table)
    if json_file is not None:
        record = {
            "fleet": asdict(fleet), "operation": asdict(operation), "outcome": asdict(outcome), "cost": asdict(cost),
        }  # fmt: skip
        with written_whole(json_file) as beside:
            beside.write_text(json_text(record, indent=2) + "\n", encoding="utf-8")
