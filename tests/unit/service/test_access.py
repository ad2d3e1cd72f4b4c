"""Who is let in: hosts, origins, tokens, cookies, rates."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from ferengine.service.access import COOKIE, SESSION_SECONDS, Access, RateLimit, Sessions, is_local

TOKEN = "0123456789abcdef-token"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def client(token: str | None = None, *, burst: int = 200, rate: float = 50.0, host: str = "localhost") -> TestClient:
    routes = [
        Route("/", hello), Route("/api/x", hello, methods=["GET", "POST"]), WebSocketRoute("/api/ws", talk),
    ]  # fmt: skip
    sessions = None if token is None else Sessions(token)
    return TestClient(Access(Starlette(routes=routes), sessions, rate, burst), base_url=f"http://{host}:8080")


def test_rates_are_counted_for_each_client() -> None:
    clock = Clock()
    limit = RateLimit(2.0, 3, clock)
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    clock.now += 0.5
    assert [limit.allows("a") for _ in range(2)] == [True, False]


def test_cookies_are_signed_and_end() -> None:
    clock = Clock()
    sessions = Sessions(TOKEN, clock)
    cookie = sessions.make()
    assert TOKEN not in cookie
    assert sessions.is_valid(cookie)
    until, _, signature = cookie.partition(".")
    assert not sessions.is_valid(f"{int(until) + 1}.{signature}")
    assert not Sessions("another token of length", clock).is_valid(cookie)
    for wrong in ("", ".", "x", f"{until}.", f"\N{SNOWMAN}.{signature}"):
        assert not sessions.is_valid(wrong)
    clock.now += SESSION_SECONDS + 1
    assert not sessions.is_valid(cookie)


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("localhost:80", True), ("127.0.0.1:8080", True), ("[::1]:9", True), ("evil.example", False),
     ("127.0.0.1.evil.example", False), ("", False), ("[", False), ("10.0.0.2", False)],
)  # fmt: skip
def test_names_of_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_without_a_token_only_names_of_this_machine_are_answered() -> None:
    assert client().get("/api/x").text == "hello"
    assert client(host="evil.example").get("/api/x").status_code == 421
    assert client(TOKEN, host="cameras.example").get("/").status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 200),
     ({"Authorization": TOKEN}, 401), ({"Cookie": f"{COOKIE}=1.2"}, 401),
     ({"Cookie": f"{COOKIE}={Sessions(TOKEN).make()}"}, 200)],
)  # fmt: skip
def test_a_token_or_its_cookie_is_needed(header: dict[str, str], status: int) -> None:
    answer = client(TOKEN).get("/api/x", headers=header)
    assert answer.status_code == status
    assert TOKEN not in answer.text
    assert client(TOKEN).get("/", headers=header).status_code == 200


def test_wrong_tokens_are_answered_ten_times() -> None:
    tried = client(TOKEN)
    codes = [tried.get("/api/x", headers={"Authorization": "Bearer guess"}).status_code for _ in range(12)]
    assert codes == 10 * [401] + 2 * [429]
    assert tried.get("/api/x", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 403), ("null", 403), ("http://localhost:8080", 200)])
def test_changes_come_from_own_pages(origin: str, status: int) -> None:
    assert client().post("/api/x", headers={"Origin": origin}).status_code == status
    assert client().get("/api/x", headers={"Origin": origin}).status_code == 200


def test_other_sites_read_nothing() -> None:
    assert client().get("/api/x", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client().get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    answer = client().get("/api/x")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_sockets_are_checked_before_they_open() -> None:
    local = "ws://localhost:8080/api/ws"
    with client().websocket_connect(local) as socket:
        assert socket.receive_text() == "hello"
    for made, url, headers, status in (
        (client(), local, {"Origin": "http://evil.example"}, 403),
        (client(TOKEN), local, {}, 401),
        (client(), "ws://evil.example/api/ws", {}, 421),
    ):
        with pytest.raises(WebSocketDenialResponse) as refused, made.websocket_connect(url, headers=headers):
            pass
        assert refused.value.status_code == status


def test_too_many_requests_are_refused() -> None:
    many = client(burst=5, rate=1e-6)
    assert {many.get("/api/x").status_code for _ in range(20)} == {200, 429}


def test_mounted_paths_count_from_the_mount() -> None:
    inner = Access(Starlette(routes=[Route("/", hello), Route("/api/x", hello)]), Sessions(TOKEN))
    mounted = TestClient(Starlette(routes=[Mount("/faces", inner)]), base_url="http://localhost")
    assert mounted.get("/faces/").status_code == 200
    assert mounted.get("/faces/api/x").status_code == 401
