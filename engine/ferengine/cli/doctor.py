"""``ferengine doctor``: whether this machine can run ferengine, and what to do if it cannot."""

from __future__ import annotations

import platform
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ferengine import __version__
from ferengine.cli.checks.base import Finding
from ferengine.cli.checks.machine import PACKAGES, installed
from ferengine.json_text import json_text

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_INDENT = " " * 5
"""What stands below a status."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check that this machine can run ferengine.

    It checks versions, limits, cameras and outputs; runs the crop, the detectors and every shipped model on built-in inputs
    with known outputs; then the whole engine on a short video; and last the models on the GPU and in torch, if present. The
    exit code is 1 if ferengine run cannot work; warnings say what does not work without stopping it.
    """
    from ferengine.cli.checks.registry import CHECKS, examine  # here: it loads NumPy

    console = Console()
    findings: dict[str, Finding] = {}
    for name, check in CHECKS.items():
        finding = examine(check)
        if finding is None:
            continue
        findings[name] = finding
        if not as_json:
            _print(name, finding, console)
    failed = [name for name, finding in findings.items() if finding.status == "fail"]
    if as_json:
        versions = {"ferengine": __version__, "python": platform.python_version(), **{p: installed(p) for p in PACKAGES}}
        checks = [{"name": name, **finding.to_dict()} for name, finding in findings.items()]
        print(json_text({"ok": not failed, "versions": versions, "checks": checks}, indent=2))
    else:
        console.print(f"ferengine run cannot work: {', '.join(failed)}" if failed else "ferengine run works here")
    sys.exit(1 if failed else 0)


def _print(name: str, finding: Finding, console: Console) -> None:
    """Long reasons are wrapped on a terminal, below themselves; hints never are, so that they can be copied."""
    status, reason = Text(f"{finding.status:4}", _STYLES[finding.status]), Text.assemble((f"{name}: ", "bold"), finding.reason)
    if console.is_terminal:
        line = Table.grid(Column(width=len(_INDENT) - 1), Column(overflow="fold"), padding=(0, 1, 0, 0))
        line.add_row(status, reason)
        console.print(line)
    else:
        console.print(Text.assemble(status, " ", reason), soft_wrap=True)
    if finding.hint:
        console.print(Text(f"{_INDENT}-> {finding.hint}"), soft_wrap=True)
