"""``ferengine serve``: cameras on a page, over REST and as metrics, while they are read."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ferengine.cli.camera_events import CameraEvents
from ferengine.cli.log import log_to
from ferengine.cli.options import parameter, with_options
from ferengine.cli.run_options import SERVE, read_settings
from ferengine.cli.settings import RunSettings
from ferengine.errors import FerengineError, SourceError, UsageError
from ferengine.sinks.outbox import read_secret

if TYPE_CHECKING:
    from ferengine.results import CameraEvent
    from ferengine.service.saved import StateFile
    from ferengine.service.server import Address, Tls

_TICK = 0.25
_WILDCARDS = ("0.0.0.0", "::")

_SOURCES = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE", help="Cameras to begin with, as ferengine run takes them; none to add them on the page.",
        show_default=False,
    ),
]  # fmt: skip
_CONFIG = Annotated[
    Path | None, typer.Option("--config", help="Read settings from this TOML file, as ferengine run does; options win over it.")
]
_LISTEN = Annotated[
    str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen. Other machines reach it only with --token-file.")
]
_TOKEN = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="Ask for the token in this file, at least 16 characters. A file that is missing is made, with a random token.",
    ),
]
_CERTIFICATE = Annotated[
    Path | None, typer.Option("--tls-certificate", help="Use TLS with the certificate chain in this PEM file.")
]
_KEY = Annotated[Path | None, typer.Option("--tls-key", help="The private key of the certificate, a PEM file.")]
_ANALYZE = Annotated[bool, typer.Option("--analyze/--no-analyze", help="Read images that clients send to /api/analyze.")]
_STATE = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="Keep the cameras and zones that clients add, change and remove in this file, for the next start. It may hold the "
        "passwords of cameras.",
    ),
]
_FILES = Annotated[bool, typer.Option("--allow-files", help="Let clients add files and folders of this machine as cameras.")]


@with_options(
    SERVE,
    parameter("sources", _SOURCES),
    parameter("config", _CONFIG),
    parameter("listen", _LISTEN, "127.0.0.1:8080"),
    parameter("token_file", _TOKEN),
    parameter("tls_certificate", _CERTIFICATE),
    parameter("tls_key", _KEY),
    parameter("analyze", _ANALYZE, True),
    parameter("allow_files", _FILES, False),
    parameter("state", _STATE),
)
def serve(
    sources: list[str] | None,
    config: Path | None,
    listen: str,
    token_file: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    analyze: bool,
    allow_files: bool,
    state: Path | None,
    **given: Any,
) -> None:
    """Show cameras on a web page, with a REST interface and metrics.

    Open the address that it prints. Files and the demo are played at their own rate, the demo again and again. Ctrl-C ends it.
    """
    from ferengine.service.saved import StateFile
    from ferengine.service.server import Address

    settings = read_settings(sources, config, given)
    console = Console(stderr=True)
    log_to(console, settings.log_level)
    address = Address.parse(listen)
    tls = read_tls(tls_certificate, tls_key)
    token = None if token_file is None else read_token(token_file, console)
    check_exposure(address, tls, token, console)
    read = {"--config": config, "--token-file": token_file, "--tls-certificate": tls_certificate, "--tls-key": tls_key}
    with contextlib.ExitStack() as stack:
        file = None if state is None else stack.enter_context(contextlib.closing(StateFile(state)))
        service = _Service(settings, address, tls, token, analyze=analyze, allow_files=allow_files, read=read, state=file)
        code = service.run(console)
    sys.exit(code)


class _Service:
    """One run of the engine with its server."""

    def __init__(
        self,
        settings: RunSettings,
        address: Address,
        tls: Tls | None,
        token: str | None,
        *,
        analyze: bool,
        allow_files: bool,
        read: Mapping[str, Path | None],
        state: StateFile | None,
    ) -> None:
        from ferengine.cli.message_outputs import event_media
        from ferengine.cli.session import check_files
        from ferengine.engine import Engine
        from ferengine.service.app import create_app
        from ferengine.service.cameras import as_served
        from ferengine.service.saved import Beginning
        from ferengine.service.server import Server
        from ferengine.sources.url import no_file

        given = tuple(as_served(spec) for spec in settings.specs())
        for spec in given:  # a camera may be there later; what is a file now was misspelt
            if spec.kind == "file" and not Path(spec.value).exists():
                raise SourceError(no_file(spec.value))
        beginning = Beginning(given) if state is None else state.begin(given)
        written = None if state is None else state.path
        check_files(settings, [*beginning.sources, *beginning.paused.values()], read=read, state=written)
        self._settings = settings
        self._camera_events = CameraEvents()
        values = settings.engine_values()
        self._engine = Engine(
            beginning.sources, keep_open=True, on_event=self._note, save=settings.save,
            overwrite=settings.overwrite, **values,
        )  # fmt: skip
        self._media = event_media(settings, self._engine)
        app = create_app(
            self._engine, token=token, analysis=values if analyze else None, allow_files=allow_files, state=state,
            beginning=beginning, attach=None if self._media is None else self._media.for_output(),
        )  # fmt: skip
        self._hub = app.state.context.hub
        try:
            self._server = Server(app, address, tls, before_end=app.state.context.close)
        except BaseException:
            self._engine.close()
            raise

    def _note(self, event: CameraEvent) -> None:
        self._camera_events.append(event)
        self._hub.note_camera_event(event)

    def run(self, console: Console) -> int:
        """Run until a signal or a failure ends it; returns the exit code."""
        from ferengine.cli.outputs import Outputs
        from ferengine.cli.session import Stopper

        stopper = Stopper(self._engine)
        outputs = Outputs(self._engine, self._settings, self._camera_events, None, self._media)
        try:
            with self._engine:
                self._server.start()
                for line in greeting(self._server.url, self._server.address.host, bool(self._engine.sources)):
                    console.print(line, highlight=False, markup=False, soft_wrap=True)  # [fe80::1] is no markup
                outputs.start()
                while not self._engine.wait(_TICK):
                    if not self._server.alive:
                        self._engine.stop()
        finally:
            self._server.close()
            outputs.finish(lambda: stopper.stopped_at)
        return 1 if outputs.errors or self._engine.failures or stopper.stopped_at is None else 0


def greeting(url: str, host: str, has_cameras: bool) -> list[str]:
    """What is said when the service answers. The address ends its line: a terminal makes a link of it, and programs find it."""
    lines = [f"ferengine is on {url}"]
    if host in _WILDCARDS:
        near = url.replace(f"[{host}]" if ":" in host else host, "127.0.0.1")
        lines.append(f"that is every address of this machine; from here {near}")
    if not has_cameras:
        lines.append("no camera yet: add one on the page, or name some, such as: ferengine serve 0")
    return [*lines, "Ctrl-C ends it"]


def read_tls(certificate: Path | None, key: Path | None) -> Tls | None:
    from ferengine.service.server import Tls

    if (certificate is None) != (key is None):
        raise UsageError("--tls-certificate and --tls-key go together: give both, or none")
    return None if certificate is None or key is None else Tls(certificate, key)


def read_token(path: Path, console: Console) -> str:
    """The token in a file, which is made if it is missing."""
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{secrets.token_urlsafe(32)}\n")
            console.print(f"made a token in {path}: the page asks for it", highlight=False, markup=False)
        elif path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            console.print(f"warning: other users can read {path}: chmod 600 it", highlight=False, markup=False)
        return read_secret("--token-file", path)
    except OSError as error:
        raise FerengineError(f"--token-file: {path} cannot be read: {error.strerror}") from None


def check_exposure(address: Address, tls: Tls | None, token: str | None, console: Console) -> None:
    """Refuse to listen for other machines without a token; warn where the token and the video go unencrypted."""
    if address.is_loopback:
        return
    if token is None:
        raise UsageError(
            f"--listen {address}: other machines can reach this address, so a token is needed: pass --token-file FILE, which "
            "is made if it is missing"
        )
    if tls is None:
        console.print(
            f"warning: {address} is not encrypted, so others on the network can read the token and the video: pass "
            "--tls-certificate and --tls-key, or put a proxy with TLS in front",
            highlight=False, markup=False,
        )  # fmt: skip
