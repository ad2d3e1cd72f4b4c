"""The command ``ferengine`` and the list of its subcommands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ferengine import __version__
from ferengine.cli.command import CommandGroup, Entry, exit_code

_MODELS = {
    "show": Entry("List the models with their accuracy, or show the card of one.", "ferengine.cli.models"),
    "add": Entry("Check a model of your own and add it to the user's folder.", "ferengine.cli.models"),
    "remove": Entry("Remove an added model.", "ferengine.cli.models"),
}
COMMANDS = {
    "run": Entry("Read faces and expressions from cameras, streams and videos.", "ferengine.cli.run"),
    "serve": Entry("Show cameras on a web page, with a REST interface and metrics.", "ferengine.cli.serve"),
    "fleet": Entry(
        "Read cameras, or an archive of video files, on many machines as one fleet, on a Ray cluster.", "ferengine.cli.fleet"
    ),
    "report": Entry(
        "Write a report on recorded results: timelines, fractions, transitions, confidence, quality and drops.",
        "ferengine.cli.html_report",
    ),
    "image": Entry("Read faces and expressions in still images.", "ferengine.cli.image"),
    "models": Entry(
        "List the models with their accuracy, show the card of one, or add your own.",
        "ferengine.cli.models",
        commands=_MODELS,
        default="show",
    ),
    "cameras": Entry("List the cameras of this machine with their formats and frame rates.", "ferengine.cli.cameras"),
    "doctor": Entry("Check that this machine can run ferengine.", "ferengine.cli.doctor"),
    "config": Entry("Print an example settings file, its JSON schema, or the settings in a file.", "ferengine.cli.config"),
}

_DATA = {
    "report": Entry(
        "Count the faces of a data set, and find copies, near-copies and blank faces.",
        "ferengine_tools.data.command",
        is_tool=True,
    ),
    "prepare": Entry("Crop the largest face of each of your own images.", "ferengine_tools.data.command", is_tool=True),
}
TOOLS = {
    name: Entry(summary, f"ferengine_tools.{module}", is_tool=True, commands=commands)
    for name, summary, module, commands in (
        ("bench", "Measure each stage and the whole engine on this machine.", "bench.command", {}),
        ("soak", "Run the engine on live cameras for long, and look for what grows or is lost.", "soak.command", {}),
        (
            "fleet-simulate",
            "Simulate where a fleet reads its cameras, with failures, days and nights and maintenance.",
            "fleet.command",
            {},
        ),
        ("build-trt", "Build TensorRT engines of the networks.", "build_trt", {}),
        ("data", "Report on a data set, or crop faces from your own images.", "data.command", _DATA),
        ("train", "Train a network on FER-2013, UTKFace or both.", "train", {}),
        (
            "train-heads",
            "Train a small network of three heads in colour: expression, gender presentation and age.",
            "train_heads",
            {},
        ),
        ("teach", "Compute what teachers say of the training faces, for ferengine train.", "teach", {}),
        ("train-all", "Train, export and measure every model of the published table.", "train_all", {}),
        ("evaluate", "Measure a model on FER-2013, UTKFace or a labelled folder.", "evaluate", {}),
        (
            "evaluate-tracking",
            "Measure how well a run kept people apart: IDF1, HOTA, wrong, false and extra ids, latency and flicker.",
            "evaluate_tracking",
            {},
        ),
        ("compare", "Compare all models with the published results in one table.", "compare", {}),
        ("explain", "Show what the network looked at in each face of an image.", "explain", {}),
        ("export-onnx", "Export a checkpoint to an ONNX file with its manifest.", "export_onnx", {}),
    )
}
"""Commands for training, measuring and building. They live in ``ferengine_tools`` and may need packages of an extra."""


class _Commands(CommandGroup):
    entries = COMMANDS | TOOLS


app = typer.Typer(
    name="ferengine",
    cls=_Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"ferengine {__version__}")
        raise typer.Exit


@app.callback()
def _ferengine(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Real-time facial expression from cameras and video files."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; errors become one line and their exit code, never a traceback."""
    sys.exit(exit_code(typer.main.get_command(app), "ferengine"))
