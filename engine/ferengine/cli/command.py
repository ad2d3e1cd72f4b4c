"""What every subcommand's module shares: its function as a command that is called with the arguments left over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer


def make_app(function: Callable[..., None]) -> typer.Typer:
    """An application of the one command ``function``."""
    app = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command()(function)
    return app


def call(function: Callable[..., None], name: str, arguments: list[str]) -> Any:
    """Run ``ferengine name arguments``; wrong usage ends with exit code 2."""
    return typer.main.get_command(make_app(function)).main(args=arguments, prog_name=f"ferengine {name}")
