"""The command ``ferengine``: one module a subcommand."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

import typer
from rich.console import Console
from rich.markup import escape

from ferengine import __version__
from ferengine.errors import FerengineError, MissingDependencyError

app = typer.Typer(
    name="ferengine",
    help="Real-time facial expression from cameras and video files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ferengine {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """Real-time facial expression from cameras and video files."""


COMMANDS = {
    "run": ("Read the faces and expressions of cameras and videos.", "ferengine.cli.run"),
    "image": ("Read the faces and expressions of still images.", "ferengine.cli.image"),
    "models": ("List the models that ship with ferengine with their figures, or show one's card.", "ferengine.cli.models"),
    "cameras": ("List the cameras of this machine with their formats.", "ferengine.cli.cameras"),
    "doctor": ("Check that this machine can run ferengine.", "ferengine.cli.doctor"),
    "config": ("Print an example of a settings file, its schema, or what a file says.", "ferengine.cli.config"),
}
"""Each is a module with ``main(arguments)``, imported only when it is called."""

TOOLS = {
    "data": ("Report on a data set, or cut faces from your own images.", "ferengine_tools.data.command"),
    "train": ("Train a network on FER-2013 or UTKFace.", "ferengine_tools.train"),
    "teach": ("Out-of-fold probabilities of a teacher ensemble, for ferengine train --teacher.", "ferengine_tools.teach"),
    "train-all": ("Train, export and measure every model of the published table.", "ferengine_tools.train_all"),
    "evaluate": ("Measure a model on FER-2013, UTKFace or any labelled folder.", "ferengine_tools.evaluate"),
    "compare": ("One table of all models beside the document's figures.", "ferengine_tools.compare"),
    "explain": ("What the network looked at in each face of an image.", "ferengine_tools.explain"),
    "export-onnx": ("Turn a checkpoint into an ONNX file with its manifest.", "ferengine_tools.export_onnx"),
    "bench": ("Measure every stage and the whole engine on this machine.", "ferengine_tools.bench.command"),
    "build-trt": ("Build TensorRT engines of the networks.", "ferengine_tools.build_trt"),
}
"""The same, but they may need packages that only an extra brings."""

_EXTRAS = {
    "torch": "train",
    "safetensors": "train",
    "matplotlib": "train",
    "skimage": "demo",
    "tensorrt": "trt",
    "tensorrt_rtx": "trt",
    "cuda": "trt",
    "pycuda": "trt",
}
"""By module: the extra to install for it."""


def _add(name: str, summary: str, module: str, panel: str) -> None:
    @app.command(
        name,
        help=summary,
        rich_help_panel=panel,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    def command(context: typer.Context) -> None:
        try:
            command_module = import_module(module)
            if name in TOOLS and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # they clean up when they are interrupted
            command_module.main(context.args)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRAS:
                raise
            raise MissingDependencyError(
                f"ferengine {name} needs the package {package}: pip install 'ferengine[{_EXTRAS[package]}]'"
            ) from None


for _name, (_summary, _module) in COMMANDS.items():
    _add(_name, _summary, _module, "Commands")
for _name, (_summary, _module) in TOOLS.items():
    _add(_name, _summary, _module, "Tools")


def main() -> None:
    """Entry point: a FerengineError becomes one line and its exit code, never a traceback."""
    try:
        app()
    except FerengineError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
