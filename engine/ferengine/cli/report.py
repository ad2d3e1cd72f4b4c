"""The table at the end of a run."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ferengine.runtime.metrics import Summary


def print_summary(summary: Summary, console: Console) -> None:
    """Print a table of ``Engine.summary()`` on ``console``."""
    console.print(
        f"[bold]{summary['frames']}[/] frames, [bold]{summary['fps']:.1f}[/] frames/s, {summary['faces']} faces; "
        f"batches of {summary['batch']['mean']:.1f}; ready after {summary['startup_s']:.1f} s",
        highlight=False,
    )
    prior = summary["prior"]
    name = "that of the training data" if prior is None else prior["name"]
    console.print(f"class prior: {name}", highlight=False, markup=False)
    drops = {
        f"{stage} {reason}": count
        for stage, reasons in summary["dropped"].items()
        for reason, count in reasons.items()
        if count
    }
    if drops:
        console.print("dropped: " + ", ".join(f"{name} {count}" for name, count in drops.items()), highlight=False)
    stages = Table("stage", "p50 ms", "p95 ms", "p99 ms", title="latency", title_justify="left")
    for stage, latency in summary["latency_ms"].items():
        stages.add_row(stage, f"{latency['p50']:.1f}", f"{latency['p95']:.1f}", f"{latency['p99']:.1f}")
    console.print(stages)
    workers = Table("process", "peak MiB", "CPU s", "restarts", title="processes", title_justify="left")
    for name, worker in summary["workers"].items():
        workers.add_row(name, f"{worker['peak_mb']:.0f}", f"{worker['cpu_s']:.1f}", str(worker["restarts"]))
    console.print(workers)
