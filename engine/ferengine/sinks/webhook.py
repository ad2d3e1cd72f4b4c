"""Sends events to a web server, signed."""

from __future__ import annotations

import hashlib
import hmac
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, Any

from ferengine import __version__
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.outbox import Outbox
from ferengine.sinks.person_events import Event, EventDetector
from ferengine.sources.url import redact_url, url_host

_SECONDS = 10.0
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
        url: Where to: http:// or https://.
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
        self._opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), urllib.request.UnknownHandler()):
            self._opener.add_handler(handler)
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
        if self._secret is not None:
            stamp = str(int(time.time()))
            headers |= {
                "X-Ferengine-Timestamp": stamp,
                "X-Ferengine-Signature": f"sha256={signature(self._secret, stamp, message.body)}",
            }
        request = urllib.request.Request(self._url, message.body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                status = _status(answer)
        except HTTPException as error:
            raise OSError(f"its answer is no HTTP: {error!r}") from None
        except urllib.error.URLError as error:
            raise OSError(str(error.reason)) from None
        if status >= 500 or status in _AGAIN:
            raise OSError(f"it answered {status}")
        if not 200 <= status < 300:
            raise ValueError(f"it answered {status}")


def _status(answer: Any) -> int:
    stream: IO[bytes] = answer
    stream.read(1 << 16)
    return int(answer.status)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The signature of a message, in hexadecimal, as a receiver computes it.

    Example:
        >>> signature(b"secret", "1764097200", b"{}")[:16]
        '61e395900a5e46c0'
    """
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
