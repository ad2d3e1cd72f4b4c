"""``ferengine run``: from cameras and files to events, video files, windows and a summary."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ferengine.cli.log import log_to
from ferengine.cli.options import parameter, with_options
from ferengine.cli.run_options import RUN, read_settings
from ferengine.errors import SourceError

_SOURCES = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="Video files, URLs, folders or globs of images, camera numbers, '-' (a video on standard input), or 'demo'; as "
        "--source.",
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


@with_options(RUN, parameter("sources", _SOURCES), parameter("config", _CONFIG))
def run(sources: list[str] | None, config: Path | None, **given: Any) -> None:
    """Read faces and expressions from cameras, streams and videos.

    Without a source it reads camera 0 or, if there is none, plays the built-in demo. Ctrl-C ends the run cleanly and
    closes all files; a second Ctrl-C forces it.
    """
    settings = read_settings(sources, config, given)
    console = Console(stderr=True)
    log_to(console, settings.log_level)
    if not settings.camera and not settings.source:
        settings = settings.model_copy(update=_default_source(console))
    from ferengine.cli.session import run_session

    sys.exit(run_session(settings, console, config))


def _default_source(console: Console) -> dict[str, Any]:
    """Camera 0 if it can be opened, else the demo; prints which."""
    from ferengine.sources.camera import CameraSource

    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    probe = CameraSource(0)
    try:
        probe.open()
    except SourceError as error:
        say(f"no source given: playing the built-in demo, because {error}")
        return {"source": ("demo",)}
    finally:
        probe.close()
    say("no source given: reading camera 0")
    return {"camera": (0,)}
