"""Sends events to a web server, signed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import unquote, urlsplit

from ferengine import __version__
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.outbox import Outbox
from ferengine.sinks.person_events import Event, EventDetector
from ferengine.sources.url import redact_url, url_host

_SECONDS = 10.0
"""What the server may take for the whole of one message, however slowly it answers."""
_PATIENCE = 4.0
_AGAIN = {408, 425, 429}
"""Status codes, besides 5xx, after which a message is tried again."""


@dataclass(frozen=True, slots=True)
class _Message:
    id: str
    body: bytes


class WebhookSink:
    """Posts each event as a JSON object, in order, at least once.

    A message is tried again, with growing pauses, until the server answers with 2xx. Other answers than 408, 425, 429 and
    5xx refuse it for good. Redirects are not followed, and no proxy is used. With a secret, ``X-Ferengine-Signature`` is
    ``sha256=`` and the HMAC of the time stamp in ``X-Ferengine-Timestamp``, a dot and the body. ``X-Ferengine-Id`` stays the
    same when a message is tried again.

    Args:
        url: Where to: http:// or https://; a user and password in it are sent as HTTP Basic.
        secret: The key of the signature; ``None`` for none.
        detector: Finds the events; None for one that attaches nothing to them.

    Raises:
        UsageError: The URL is none of HTTP.
    """

    def __init__(self, url: str, secret: bytes | None = None, detector: EventDetector | None = None) -> None:
        if not url.startswith(("http://", "https://")) or url_host(url) is None:
            raise UsageError("--webhook: give http://HOST/PATH or https://HOST/PATH")
        self._url = url
        self._secret = secret
        self._detector = detector or EventDetector()
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise UsageError("--webhook: a port is from 0 to 65535") from None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not all("!" <= each <= "~" for each in target):
            raise UsageError("--webhook: percent-encode blanks and letters beyond ASCII in its path")
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname or "", port
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        self._login = None if login is None else f"Basic {base64.b64encode(login.encode()).decode()}"
        self._target = target
        self._outbox: Outbox[_Message] = Outbox(f"the webhook {redact_url(url)}", self._post)

    @property
    def dropped(self) -> int:
        """Events that were not delivered."""
        return self._outbox.dropped

    def write(self, result: FrameResult) -> None:
        """Send what happened with this result."""
        self._send(self._detector.add(result))

    def write_camera_event(self, event: CameraEvent) -> None:
        """Send what happened to a camera."""
        self._send(self._detector.add_camera_event(event))

    def flush_if_due(self) -> None:
        """Events are sent as they come."""

    def close(self) -> None:
        """Wait a few seconds for what is on its way; may be called twice."""
        self._outbox.close(_PATIENCE)

    def _send(self, events: list[Event]) -> None:
        for event in events:
            self._outbox.put(_Message(str(uuid.uuid4()), json_text(event.to_dict()).encode()))

    def _post(self, message: _Message) -> None:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"ferengine/{__version__}",
            "X-Ferengine-Id": message.id,
        }
        if self._login is not None:
            headers["Authorization"] = self._login
        if self._secret is not None:
            stamp = str(int(time.time()))
            headers |= {
                "X-Ferengine-Timestamp": stamp,
                "X-Ferengine-Signature": f"sha256={signature(self._secret, stamp, message.body)}",
            }
        connection = self._connect(self._host, self._port, timeout=_SECONDS)
        is_late = threading.Event()
        limit = threading.Timer(_SECONDS, _shut, [connection, is_late])  # the time-out above is that of each single byte
        limit.daemon = True
        limit.start()
        try:
            connection.request("POST", self._target, message.body, headers)
            status = connection.getresponse().status
        except HTTPException as error:
            raise OSError(f"its answer is no HTTP: {error!r}") from None
        finally:
            limit.cancel()
            connection.close()
        if is_late.is_set():  # what was cut off may look like an answer
            raise TimeoutError(f"it did not answer in {_SECONDS:g} s")
        if status >= 500 or status in _AGAIN:
            raise OSError(f"it answered {status}")
        if not 200 <= status < 300:
            raise ValueError(f"it answered {status}")


def _shut(connection: HTTPConnection, is_late: threading.Event) -> None:
    """Have what waits for the server end."""
    is_late.set()
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The signature of a message, in hexadecimal, as a receiver computes it.

    Example:
        >>> signature(b"secret", "1764097200", b"{}")[:16]
        '61e395900a5e46c0'
    """
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
