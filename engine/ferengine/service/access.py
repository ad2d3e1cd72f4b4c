"""Who may ask: hosts, origins, token, session cookies and rates, checked before any handler runs."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

COOKIE = "ferengine_session"
SESSION_SECONDS = 7 * 24 * 3600
MIN_TOKEN = 16
"""Characters of a token."""

PAGE = {"/": "index.html"} | {
    f"/{name}": name
    for name in (
        "page.css", "page.js", "dialogs.js", "drawing.js", "health.js", "player.js", "requests.js", "tile.js", "words.js",
        "zones.js",
    )
}  # fmt: skip
"""The files of the page by their paths."""
_PUBLIC = frozenset({*PAGE, "/healthz", "/api/session"})
"""What needs no token: it says nothing of the cameras."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; media-src blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_MAX_CLIENTS = 4096


class RateLimit:
    """A token bucket for each client.

    Args:
        rate: Requests a second.
        burst: Requests at once.
        clock: Monotonic seconds.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Count a request; whether it is within the limit."""
        now = self._clock()
        left, since = self._clients.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1
        self._clients[client] = (left - 1 if allowed else left, now)
        if len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        return allowed


class Sessions:
    """Cookies for browsers that have shown the token: a time, and its signature with a key made from the token.

    Args:
        token: The token.
        clock: Seconds since the epoch.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._token = token.encode()
        self._key = hashlib.sha256(b"ferengine session\0" + self._token).digest()
        self._clock = clock
        self._failures = RateLimit(1 / 6, 10)

    def refuse_token(self, given: str, client: str) -> Response | None:
        """``None`` for the right token. After too many wrong ones the answer is 429 for a while;
        the right one still passes, so that guesses from an address shared through a proxy lock no client out."""
        if self.is_token(given):
            return None
        if not self._failures.allows(client):
            return problem(429, "too many wrong tokens: wait a minute", {"Retry-After": "60"})
        return problem(401, "this is not the token", {"WWW-Authenticate": "Bearer"})

    def is_token(self, given: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(given.encode(errors="replace"), self._token)

    def make(self) -> str:
        """A new cookie."""
        until = str(int(self._clock() + SESSION_SECONDS))
        return f"{until}.{self._sign(until)}"

    def is_valid(self, cookie: str) -> bool:
        """Whether it was made here, and not too long ago."""
        until, _, signature = cookie.partition(".")
        signed = hmac.compare_digest(signature.encode(errors="replace"), self._sign(until).encode())
        return signed and until.isdigit() and int(until) > self._clock()

    def _sign(self, until: str) -> str:
        return hmac.new(self._key, until.encode(errors="replace"), hashlib.sha256).hexdigest()


class Access:
    """Middleware that lets requests through or refuses them, and adds the headers that browsers heed.

    Without a token only requests to names of this machine pass, so that a page of the internet whose name is made to lead
    here (DNS rebinding) gets nothing.

    Args:
        app: What is protected.
        sessions: Checks tokens and cookies; ``None`` where no token is needed.
        rate: Requests a second of one client.
        burst: Requests at once of one client.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions | None, rate: float = 50.0, burst: int = 200) -> None:
        self._app = app
        self._sessions = sessions
        self._requests = RateLimit(rate, burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if _path(scope).startswith("/api"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send_with_headers).send_denial_response(refusal)
        else:
            await refusal(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        client = request.client.host if request.client else ""
        path = _path(request.scope)
        if not self._requests.allows(client):
            return problem(429, "too many requests: slow down", {"Retry-After": "1"})
        host = request.headers.get("host", "")
        if self._sessions is None and not is_local(host):
            return problem(421, f"this service answers to localhost only, not to {host[:80]!r}")
        changes = request.scope["type"] == "websocket" or request.scope["method"] not in _SAFE
        origin = request.headers.get("origin")
        if changes and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return problem(403, f"requests from pages of {origin[:80]} are refused")
        if path.startswith("/api") and request.headers.get("sec-fetch-site") == "cross-site":
            return problem(403, "requests from pages of other sites are refused")
        if self._sessions is None or path in _PUBLIC:
            return None
        return _check(request, client, self._sessions)


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that is refused or fails: ``{"error": ...}``."""
    return JSONResponse({"error": error}, status, headers)


def is_local(host: str) -> bool:
    """Whether a Host header names this machine: localhost, or a loopback address.

    Example:
        >>> is_local("localhost:8080"), is_local("[::1]:8080"), is_local("cameras.example")
        (True, True, False)
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or is_loopback(name)


def is_loopback(address: str) -> bool:
    """Whether an address is one of the loopback interface."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _path(scope: Scope) -> str:
    """The path below the place where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _check(request: HTTPConnection, client: str, sessions: Sessions) -> Response | None:
    cookie = request.cookies.get(COOKIE)
    if cookie is not None and sessions.is_valid(cookie):
        return None
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        return problem(401, "a token is needed: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
    return sessions.refuse_token(given.strip(), client)
