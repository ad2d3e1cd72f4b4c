"""The page of one node, with the video of its cameras: the node's own service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferengine.engine import Engine


class NodePage:
    """Serves the engine of a node to browsers, with the token of the fleet's page.

    Args:
        engine: The engine.
        host: The address of the node.
        settings: ``port``, ``token``, ``certificate`` and ``key``.

    Raises:
        ServiceError: The port is in use, or the certificate cannot be used.
    """

    def __init__(self, engine: Engine, host: str, settings: Mapping[str, Any]) -> None:
        from ferengine.service.app import create_app
        from ferengine.service.server import Address, Server, Tls

        app = create_app(engine, token=settings["token"])
        certificate, key = settings["certificate"], settings["key"]
        tls = None if certificate is None else Tls(Path(certificate), Path(key))
        self._server = Server(app, Address(host, settings["port"]), tls, before_end=app.state.context.close)
        self._server.start()
        self.url = self._server.url

    def close(self) -> None:
        """End all connections."""
        self._server.close()
