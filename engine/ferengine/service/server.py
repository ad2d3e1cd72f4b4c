"""The service on a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ferengine.errors import ServiceError, UsageError
from ferengine.service.access import is_loopback

_MAX_CONNECTIONS = 512
_MAX_MESSAGE = 64 << 10
_IDLE_SECONDS = 10
FIRST_REQUEST_SECONDS = 10.0
"""Seconds in which a whole request has to come on a new connection."""
_END_SECONDS = 3
_START_SECONDS = 30.0
_TICK = 0.1

log = logging.getLogger("ferengine")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens: a host and a port, 0 for any that is free.

    Example:
        >>> Address.parse("[::1]:8080")
        Address(host='::1', port=8080)
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT``. Raises UsageError."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise UsageError(f"--listen: give HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080, not {text!r}")
        return cls(host, int(port))

    def bind(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            ServiceError: It is in use, or is none of this machine.
        """
        try:
            [found, *_] = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            made = socket.socket(found[0], found[1])
        except OSError as error:
            raise ServiceError(f"{self} cannot be listened on: {error.strerror}") from None
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(found[4])
            made.listen(128)
        except OSError as error:
            made.close()
            if error.errno == errno.EADDRINUSE:
                raise ServiceError(f"{self} is in use: choose another port with --listen, or end what listens there") from None
            if error.errno == errno.EACCES:
                raise ServiceError(f"{self}: only root may listen on this port: choose one from 1024 on") from None
            raise ServiceError(f"{self} cannot be listened on: {error.strerror}") from None
        return made

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_TOO_WEAK = {
    "EE_KEY_TOO_SMALL": "its key is too short",
    "CA_KEY_TOO_SMALL": "the key of an authority in its chain is too short",
    "CA_MD_TOO_WEAK": "it is signed with a weak hash such as SHA-1",
}
"""OpenSSL's reasons against a certificate; how much it asks for depends on its settings."""
_OTHER_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""OpenSSL's reasons against a key of another certificate; the last is for one of another kind."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificate chain and the private key, in PEM files."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Try both files; a key that is encrypted is refused, since there may be no one to be asked for its pass phrase.

        Raises:
            ServiceError: Naming the file that cannot be used.
        """
        for what, path in (("certificate", self.certificate), ("key", self.key)):
            try:
                path.open("rb").close()
            except OSError as error:
                raise ServiceError(f"the TLS {what} {path} cannot be read: {error.strerror}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_verify_locations(self.certificate)
        except OSError:  # ssl.SSLError is one
            raise ServiceError(f"the TLS certificate {self.certificate} holds no certificate in PEM") from None
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._refuse_pass_phrase)
        except OSError as error:
            reason = getattr(error, "reason", None)
            if reason in _TOO_WEAK:
                raise ServiceError(
                    f"the TLS certificate {self.certificate} is refused by OpenSSL, since {_TOO_WEAK[reason]}: "
                    "make it with RSA of 2048 bits or more and SHA-256"
                ) from None
            said = (
                f"is not that of the certificate {self.certificate}" if reason in _OTHER_KEY else "holds no private key in PEM"
            )
            raise ServiceError(f"the TLS key {self.key} {said}") from None

    def _refuse_pass_phrase(self) -> str:
        raise ServiceError(
            f"the TLS key {self.key} is encrypted: write it without a pass phrase (openssl pkey -in {self.key} -out FILE)"
        )


class _PatientProtocol(H11Protocol):
    """Closes a connection on which no whole request has come after some seconds: uvicorn itself waits for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        is_socket = self.transport.get_protocol() is not self  # a WebSocket has a protocol of its own
        if self.cycle is None and not is_socket and not self.transport.is_closing():
            self.transport.close()


class Server:
    """Runs an application with uvicorn in a thread, until it is closed.

    Args:
        app: The application.
        address: Where to listen.
        tls: Certificate and key; ``None`` for plain HTTP.
        before_end: Ends the streams of the application, on the server's loop.

    Raises:
        ServiceError: The address is in use or is none of this machine, or a file of ``tls`` cannot be used.
    """

    def __init__(
        self, app: ASGIApp, address: Address, tls: Tls | None = None, *, before_end: Callable[[], Awaitable[None]]
    ) -> None:
        if tls is not None:
            tls.check()
        config = uvicorn.Config(
            app,
            http=_PatientProtocol,
            ws="websockets-sansio",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_END_SECONDS,
            ws_max_size=_MAX_MESSAGE,
            ws_per_message_deflate=False,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
        )
        config.load()
        self._socket = address.bind()
        port = self._socket.getsockname()[1]
        self.address = Address(address.host, port)
        self.url = f"{'http' if tls is None else 'https'}://{self.address}"
        self._server = uvicorn.Server(config)
        self._before_end = before_end
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ferengine-service", daemon=True)

    def start(self) -> None:
        """Begin to answer. Raises ServiceError."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._server.started:
            raise ServiceError(f"the service did not start: {self._failure or 'see the log'}")

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End all connections and what the application has begun, within a few seconds; may be called twice."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()

    async def _serve(self) -> None:
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not (self._over.is_set() or serving.done()):
            await asyncio.sleep(_TICK)
        await self._before_end()  # streams have no end of their own, and uvicorn would wait for them
        self._server.should_exit = True
        await serving

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # also SystemExit, which uvicorn raises where its start fails
            self._failure = error
            log.error("the service has ended: %s", error)
