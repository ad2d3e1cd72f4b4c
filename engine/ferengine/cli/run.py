"""``ferengine run``: from cameras and files to events, video files, windows and a summary."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ferengine.cli.config_file import load_settings
from ferengine.cli.log import log_to
from ferengine.cli.options import checked, with_options
from ferengine.cli.run_options import RUN
from ferengine.cli.settings import RunSettings
from ferengine.errors import SourceError

_SOURCES = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="Video files, URLs, folders or globs of images, camera numbers, or 'demo'; as --source.",
        show_default=False,
    ),
]
_CONFIG = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Read settings from this TOML file, which has the same names as these options; options win over it. "
        "See ferengine config.",
    ),
]


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@with_options(RUN, _parameter("sources", _SOURCES), _parameter("config", _CONFIG))
def run(sources: list[str] | None, config: Path | None, **given: Any) -> None:
    """Read faces and expressions from cameras, streams and videos.

    Without a source it reads camera 0 or, if there is none, plays the built-in demo. Ctrl-C ends the run cleanly and
    closes all files; a second Ctrl-C forces it.
    """
    if sources:
        given["source"] = [*sources, *given.get("source", ())]
    settings = checked(RunSettings, given)
    if config is not None:
        settings = merged(load_settings(config), settings)
    console = Console(stderr=True)
    log_to(console, settings.log_level)
    if not settings.camera and not settings.source:
        settings = settings.model_copy(update=_default_source(console))
    from ferengine.cli.session import run_session

    sys.exit(run_session(settings, console))


def merged(file: RunSettings, options: RunSettings) -> RunSettings:
    """Return the settings of a file with the options of the command line over them; sources there replace the file's."""
    over = {name: getattr(options, name) for name in options.model_fields_set}
    if options.camera or options.source:
        over = {"camera": (), "source": (), **over}
    return file.model_copy(update=over)


def _default_source(console: Console) -> dict[str, Any]:
    """Camera 0 if it can be opened, else the demo; prints which."""
    from ferengine.sources.camera import CameraSource

    probe = CameraSource(0)
    try:
        probe.open()
    except SourceError as error:
        console.print(f"no source given, and {error}: playing the built-in demo (see --source and --camera)", highlight=False)
        return {"source": ("demo",)}
    finally:
        probe.close()
    console.print("no source given: reading camera 0")
    return {"camera": (0,)}
