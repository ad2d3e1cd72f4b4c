"""The table at the end of a run."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(figures: dict[str, Any], console: Console) -> None:
    """``Engine.summary()`` for people, on ``console``."""
    latency = figures["latency_ms"]
    console.print(
        f"[bold]{figures['frames']}[/] frames, [bold]{figures['fps']:.1f}[/] frames/s, {figures['faces']} faces; "
        f"batches of {figures['batch']['mean']:.1f}; ready after {figures['startup_s']:.1f} s",
        highlight=False,
    )
    drops = {
        f"{stage} {reason}": count
        for stage, reasons in figures["dropped"].items()
        for reason, count in reasons.items()
        if count
    }
    if drops:
        console.print("dropped: " + ", ".join(f"{name} {count}" for name, count in drops.items()), highlight=False)
    stages = Table("stage", "p50 ms", "p95 ms", "p99 ms", title="latency", title_justify="left")
    for stage, row in latency.items():
        stages.add_row(stage, *(f"{row[name]:.1f}" for name in ("p50", "p95", "p99")))
    console.print(stages)
    workers = Table("process", "peak MiB", "CPU s", "restarts", title="processes", title_justify="left")
    for name, row in figures["workers"].items():
        workers.add_row(name, f"{row['peak_mb']:.0f}", f"{row['cpu_s']:.1f}", str(row["restarts"]))
    console.print(workers)
