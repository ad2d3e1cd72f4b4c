"""The command ``ferengine``: one module a subcommand, imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import typer
from rich.console import Console
from rich.markup import escape

from ferengine import __version__
from ferengine.cli.run import run
from ferengine.errors import FerengineError, MissingDependencyError

app = typer.Typer(
    name="ferengine",
    help="Real-time facial expression from cameras and video files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ferengine {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """Real-time facial expression from cameras and video files."""


_TOOLS = {
    "data": ("Report on a data set, or cut faces from your own pictures.", "ferengine_tools.data.command"),
    "train": ("Train a network on FER-2013 or UTKFace.", "ferengine_tools.train"),
    "teach": ("Out-of-fold probabilities of a teacher ensemble, for ferengine train --teacher.", "ferengine_tools.teach"),
    "train-all": ("Train, export and measure every model of the published table.", "ferengine_tools.train_all"),
    "evaluate": ("Measure a model on FER-2013, UTKFace or any labelled folder.", "ferengine_tools.evaluate"),
    "compare": ("One table of all models beside the document's figures.", "ferengine_tools.compare"),
    "explain": ("What the network looked at in each face of a picture.", "ferengine_tools.explain"),
    "export-onnx": ("Turn a checkpoint into an ONNX file with its manifest.", "ferengine_tools.export_onnx"),
    "bench": ("Measure every stage and the whole engine on this machine.", "ferengine_tools.bench.command"),
    "build-trt": ("Build TensorRT engines of the networks.", "ferengine_tools.build_trt"),
}


def _add_tool(name: str, summary: str, module: str) -> None:
    @app.command(
        name,
        help=summary,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def tool(context: typer.Context) -> None:
        try:
            tool_module = import_module(module)
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"ferengine {name} needs the package {error.name}: pip install 'ferengine[train]'"
            ) from None
        tool_module.main(context.args)


for _name, (_summary, _module) in _TOOLS.items():
    _add_tool(_name, _summary, _module)


def main() -> None:
    """Entry point: a FerengineError becomes one line and its exit code, never a traceback."""
    try:
        app()
    except FerengineError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, markup=True, soft_wrap=True)
        sys.exit(error.exit_code)
