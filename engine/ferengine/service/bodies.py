"""What is left of the bodies of requests that are answered before all of it was read."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ferengine.errors import ServiceError

SMALL_BODY = 256 << 10
"""Bytes that are read before the answer, so that the connection can be kept; as many as any body but that of an image has."""
_SMALL_SECONDS = 1.0
"""Seconds in which they have to come."""
MAX_DISCARDED = 32 << 20
"""Bytes of a larger body that are discarded after the answer: twice those of the largest image that is read."""
_DISCARD_SECONDS = 10.0
_IDLE_SECONDS = 2.0
"""Seconds without a byte after which such a body is given up."""
_END_SECONDS = 1.0
"""Seconds that are left for it once the service ends."""


class Bodies:
    """The bodies that are on their way to one application. Belongs to its loop."""

    def __init__(self) -> None:
        self.ended = False
        self._limits: dict[asyncio.Timeout, float] = {}

    @contextlib.asynccontextmanager
    async def until_end(self, after: float = 0.0, seconds: float | None = None) -> AsyncIterator[None]:
        """Raise TimeoutError in the block ``after`` seconds after the end, or ``seconds`` after the block began."""
        if self.ended:
            seconds = after if seconds is None else min(after, seconds)
        async with asyncio.timeout(seconds) as limit:
            self._limits[limit] = after
            try:
                yield
            finally:
                del self._limits[limit]

    def end(self) -> None:
        """The service ends: no body is waited for any longer, and its request is answered."""
        self.ended = True
        now = asyncio.get_running_loop().time()
        for limit, after in self._limits.items():
            limit.reschedule(min(now + after, limit.when() or math.inf))


class UnreadBodies:
    """Middleware that reads and discards what no handler has read of a body.

    A connection that is closed while bytes of its client are unread or on their way is reset, and the reset may overtake the
    answer: a client that writes its whole request before it reads would see an error of the network in the place of a
    refusal. So a small body is read before the answer goes out. After a larger one the connection is closed, but only once its
    client has sent the rest, has left, has stopped sending, or has sent ``MAX_DISCARDED`` bytes more.

    Args:
        app: What answers. It comes outside of everything that refuses requests.
        bodies: Knows when the service ends.
    """

    def __init__(self, app: ASGIApp, bodies: Bodies) -> None:
        self._app = app
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _has_body(scope):
            body = _Body(scope, receive, send, self._bodies)
            receive, send = body.receive, body.send
        await self._app(scope, receive, send)


class _Body:
    """The body of one request, and the answer to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, bodies: Bodies) -> None:
        self._bodies = bodies
        self._headers = Headers(scope=scope)
        self._receive = receive
        self._send = send
        self._turn = asyncio.Lock()  # a handler that streams listens for the end of its client at the same time
        self._asked = self._answered = False
        self._over = False

    async def receive(self) -> Message:
        try:
            async with self._bodies.until_end():
                return await self._take()
        except TimeoutError:
            if self._answered:  # this only listens for the end of the client, while a stream that will be ended goes out
                return await self._take()
            raise ServiceError("the service is ending, and takes nothing more") from None

    async def _take(self) -> Message:
        async with self._turn:
            self._asked = True
            message = await self._receive()
            self._over = self._over or message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._answered = True
            if self._is_worth_waiting_for():
                await self._discard(SMALL_BODY, _SMALL_SECONDS)
            if not self._over:
                MutableHeaders(scope=message)["Connection"] = "close"
        elif not self._over and not message.get("more_body", False):
            await self._send({**message, "more_body": True})  # all of the answer; its end closes the connection
            await self._discard(MAX_DISCARDED, _DISCARD_SECONDS)
            message = {"type": "http.response.body"}
        await self._send(message)

    def _is_worth_waiting_for(self) -> bool:
        announced = self._headers.get("content-length", "")
        if announced.isdigit() and int(announced) > SMALL_BODY:
            return False
        waits_itself = self._headers.get("expect", "").lower() == "100-continue"  # for the word to send it
        return self._asked or not waits_itself

    async def _discard(self, limit: int, seconds: float) -> None:
        size = 0
        with contextlib.suppress(TimeoutError):
            async with self._bodies.until_end(_END_SECONDS, seconds):
                while not self._over and size <= limit:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        message = await self._take()
                    size += len(message.get("body", b""))


def _has_body(scope: Scope) -> bool:
    """Whether a request of HTTP/1 has a body: such a connection takes no other request before that has come."""
    if scope["type"] != "http" or not scope.get("http_version", "1.1").startswith("1"):
        return False
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
