"""The service over its sockets: REST, streams, video, and what is done to it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from ferengine import Engine
from ferengine.errors import UsageError
from ferengine.service import access
from service_help import Running, serving, snapshot_of, until

connect = pytest.importorskip("websockets.sync.client", reason="the extra `serve` is not installed").connect


@pytest.fixture
def web(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=120) as client:
        yield client


def video_of(running: Running, camera: str = "door") -> Any:
    return connect(f"{running.url.replace('http', 'ws')}/api/cameras/{camera}/video", max_size=None)


def parted(message: Any) -> tuple[dict[str, Any], bytes]:
    [size] = struct.unpack_from(">I", message)
    return json.loads(message[4 : 4 + size]), message[4 + size :]


def test_every_operation_is_described_and_answers(web: httpx.Client) -> None:
    document = web.get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            assert operation["responses"]
            if method == "get" and "{name}" not in path and path not in ("/api/results", "/api/events"):
                assert web.get(path).status_code == 200, path


def test_the_page_needs_nothing_from_elsewhere(web: httpx.Client) -> None:
    page = web.get("/")
    assert page.headers["content-type"].startswith("text/html")
    files = {f"/{path.name}" for path in (Path(access.__file__).parent / "page").iterdir()}
    assert set(access.PAGE) == files - {"/index.html"} | {"/"}
    for path in access.PAGE:
        answer = web.get(path)
        assert answer.status_code == 200
        addresses = set(re.findall(r"\w+://[\w.]+", answer.text))
        assert addresses <= {"rtsp://camera.local", "http://www.w3.org"}  # an example, and the name of SVG


def test_unknown_paths_and_methods_say_so(web: httpx.Client) -> None:
    assert web.get("/nothing").status_code == 404
    assert "error" in web.get("/nothing").json()
    assert web.post("/api/health").status_code == 405
    for answer in (web.get("/api/cameras/attic"), web.delete("/api/cameras/attic"), web.get("/api/cameras/attic/snapshot.jpg")):
        assert (answer.status_code, answer.json()["error"]) == (404, "there is no camera 'attic': known are door")


def test_a_stream_of_a_camera_that_is_not_there_is_refused(running: Running, web: httpx.Client) -> None:
    exceptions = pytest.importorskip("websockets.exceptions")
    for path in ("/api/results", "/api/events"):
        answer = web.get(path, params={"camera": ["door", "dor"]})
        assert (answer.status_code, answer.json()["error"]) == (404, "there is no camera 'dor': did you mean 'door'?")
        address = f"{running.url.replace('http', 'ws')}{path}?camera=dor"
        with connect(address) as results, pytest.raises(exceptions.ConnectionClosed) as closed:
            results.recv(timeout=60)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4404, "there is no camera 'dor': did you mean 'door'?")


def test_cameras_come_pause_and_go(running: Running, web: httpx.Client) -> None:
    made = web.post("/api/cameras", json={"source": "demo:turn", "name": "second", "fps": 5})
    assert (made.status_code, made.json()) == (201, {"name": "second"})
    assert web.post("/api/cameras", json={"source": "demo", "name": "second"}).status_code == 409
    until(lambda: web.get("/api/cameras/second").json().get("frames"))
    described = web.get("/api/cameras/second").json()
    assert (described["kind"], described["state"], described["paused"], described["live"]) == ("demo", "running", False, True)
    assert web.post("/api/cameras/second/resume").status_code == 409
    assert web.post("/api/cameras/second/pause").status_code == 204
    until(lambda: "capture-second" not in running.engine.worker_pids())
    assert web.post("/api/cameras/second/pause").status_code == 409
    assert web.get("/api/cameras/second/snapshot.jpg").status_code == 409
    assert web.get("/api/cameras/second").json()["state"] == "paused"
    assert web.post("/api/cameras", json={"source": "demo", "name": "second"}).status_code == 409
    assert web.post("/api/cameras/second/resume").status_code == 204
    until(lambda: web.get("/api/cameras/second").json().get("frames"))
    assert web.delete("/api/cameras/second").status_code == 204
    assert [camera["name"] for camera in web.get("/api/cameras").json()["cameras"]] == ["door"]
    assert web.delete("/api/cameras/second").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the request"),
        (b"[]", 400, "the request"),
        (b'{"source": ""}', 400, "source"),
        (b'{"source": "demo", "sped": 3}', 400, "sped"),
        (b'{"source": "demo:moon"}', 400, "no scenario 'moon'"),
        (b'{"source": "/etc/passwd"}', 403, "--allow-files"),
        (b'{"source": "rtsp://u:secret@"}', 400, "URL"),
        (b'{"source": "rtsp://u:secret@camera/", "fps": -1}', 400, "fps"),
        (b'{"source": "' + 170_000 * b"x" + b'"}', 413, "160 KiB"),
    ],
)  # fmt: skip
def test_cameras_that_make_no_sense_are_refused(web: httpx.Client, body: bytes, status: int, said: str) -> None:
    answer = web.post("/api/cameras", content=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "secret" not in answer.text


def test_results_as_server_sent_events(web: httpx.Client) -> None:
    seen = []
    with web.stream("GET", "/api/results", params={"camera": "door"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
            if len(seen) == 3:
                break
    assert [each["camera"] for each in seen] == 3 * ["door"]
    assert seen[0]["frame"] < seen[1]["frame"] < seen[2]["frame"]
    refused = web.get("/api/results", params={"camera": "attic"})
    assert (refused.status_code, refused.json()["error"]) == (404, "there is no camera 'attic': known are door")


def test_results_over_a_socket(running: Running) -> None:
    with connect(f"{running.url.replace('http', 'ws')}/api/results") as results:
        seen = [json.loads(results.recv(60)) for _ in range(3)]
    assert seen[0]["frame"] < seen[1]["frame"] < seen[2]["frame"]
    until(lambda: running.context.hub.listeners == 0)


def test_the_timeline_and_the_metrics_know_the_faces(running: Running, web: httpx.Client) -> None:
    until(lambda: web.get("/api/timeline").json()["cameras"].get("door"))
    [person, *_] = web.get("/api/timeline").json()["cameras"]["door"]
    assert person["samples"][0][1] in running.engine.labels
    text = web.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['ferengine_frames_total{camera="door"}']) > 0
    assert values["ferengine_up"] == "1.0"
    assert 'ferengine_latency_seconds{quantile="0.99",stage="total"}' in values
    assert 'ferengine_dropped_total{camera="door",reason="ring_full"}' in values


def test_video_carries_each_frame_with_its_result(running: Running) -> None:
    with video_of(running) as video:
        head, init = parted(video.recv(60))
        assert (head["width"], head["height"]) == (320, 240)
        assert head["mime"].startswith("video/mp4")
        frames = [parted(video.recv(60)) for _ in range(8)]
    assert frames[0][0]["key"]
    times = [described["time"] for described, _ in frames]
    assert times == sorted(set(times))
    assert all(described["size"] == [320, 240] and described["result"]["camera"] == "door" for described, _ in frames)
    with av.open(io.BytesIO(init + b"".join(data for _, data in frames))) as file:
        decoded = [frame.time for frame in file.decode(video=0)]
    assert decoded == pytest.approx(times, abs=1e-4)
    until(lambda: running.context.live.viewers == 0)


def test_one_encoder_for_all_viewers_and_a_new_one_after_its_death(running: Running) -> None:
    with video_of(running) as one, video_of(running) as two:
        for video in (one, two):
            assert parted(video.recv(60))[0]["mime"]
            assert parted(video.recv(60))[0]["key"]
        live = running.context.live._videos["door"]
        pid = live._child.pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: live._child is not None and live._child.pid != pid)
        until(lambda: parted(one.recv(60))[0]["key"] and live.frames)
    assert all(worker.restarts == 0 for worker in running.engine.health().workers.values())


def test_a_viewer_of_a_camera_that_goes_is_told(running: Running, web: httpx.Client) -> None:
    websockets = pytest.importorskip("websockets.exceptions")
    web.post("/api/cameras", json={"source": "demo", "name": "brief", "fps": 5})
    with video_of(running, "brief") as video:
        parted(video.recv(60))
        assert web.post("/api/cameras/brief/pause").status_code == 204
        with pytest.raises(websockets.ConnectionClosed) as closed:
            deque((video.recv(60) for _ in iter(int, 1)), maxlen=0)  # until it is closed
        assert closed.value.rcvd.code == 4404
    with video_of(running, "brief") as video, pytest.raises(websockets.ConnectionClosed) as closed:
        video.recv(60)
    assert "paused" in closed.value.rcvd.reason
    web.delete("/api/cameras/brief")


def test_snapshot_and_mjpeg(web: httpx.Client) -> None:
    answer = snapshot_of(web, "door")
    assert answer.headers["content-type"] == "image/jpeg"
    with av.open(io.BytesIO(answer.content), format="mjpeg") as file:
        [frame] = file.decode(video=0)
    assert (frame.width, frame.height) == (320, 240)
    with web.stream("GET", "/api/cameras/door/video.mjpeg") as stream:
        data = b""
        for part in stream.iter_bytes():
            data += part
            if data.count(b"--ferengine\r\n") > 2:
                break
    assert data.count(b"\xff\xd8\xff") >= 2


def test_images_are_analysed_in_a_process_that_may_die(running: Running, web: httpx.Client) -> None:
    jpeg = snapshot_of(web, "door").content
    record = web.post("/api/analyze", content=jpeg).json()
    assert (record["width"], record["height"]) == (320, 240)
    assert isinstance(record["faces"], list)
    assert web.post("/api/analyze", content=b"no image").json() == {
        "error": "this is not an image that can be decoded, or it is damaged"
    }
    assert web.post("/api/analyze", content=b"").status_code == 400
    answer = web.post("/api/analyze", files={"file": jpeg})
    assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (400, "the body is a form")
    os.kill(running.context.analysis._child.pid, signal.SIGKILL)
    answer = web.post("/api/analyze", content=jpeg)
    assert (answer.status_code, answer.json()["error"]) == (503, "the process 'images' has died: try again")
    assert web.post("/api/analyze", content=jpeg).status_code == 200


def test_an_upload_of_10_gb_is_refused_at_once(running: Running) -> None:
    def answer(path: str) -> bytes:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 30) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {10 << 30}\r\nOrigin: http://{host}:{port}"
            client.sendall(f"{head if path != '/foreign' else head + '0'}\r\n\r\n".encode())
            answer = b""
            while part := client.recv(4096):  # the service closes the connection
                answer += part
        return answer

    read = {"/api/analyze": 413, "/api/cameras": 413, "/api/session": 413}
    expected = read | {"/api/health": 405, "/nothing": 404, "/foreign": 403}
    with concurrent.futures.ThreadPoolExecutor(len(expected)) as pool:  # each is closed after two seconds without a byte
        for path, said in zip(expected, pool.map(answer, expected), strict=True):
            assert said.startswith(f"HTTP/1.1 {expected[path]}".encode()), path


def test_an_upload_that_does_not_say_its_size_ends_at_the_limit(web: httpx.Client) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 << 20:
            sent += 1 << 20
            yield bytes(1 << 20)

    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):  # closed before all was sent
        assert web.post("/api/analyze", content=body()).status_code == 413
    assert sent < 150 << 20  # a busy machine takes a moment to close it


def test_many_requests_at_once_leave_the_pipeline_alone(running: Running) -> None:
    before = running.engine.health().cameras["door"].frames
    client = httpx.Client(base_url=running.url, timeout=60, limits=httpx.Limits(max_connections=50))
    with client, concurrent.futures.ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(lambda _: client.get("/api/session").status_code, range(1000)))
    assert set(codes) <= {200, 429, 503}
    assert codes.count(200) >= 200
    until(lambda: running.engine.health().cameras["door"].frames > before)
    time.sleep(1)  # the bucket of this client fills again


def test_a_viewer_that_stalls_disturbs_no_other(running: Running) -> None:
    from ferengine.service.app import create_app
    from ferengine.service.server import Address, Server

    app = create_app(running.engine)
    server = Server(app, Address("127.0.0.1", 0), before_end=app.state.context.close)
    server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # its connections have it, too
    server.start()
    other = Running(running.engine, server.url, app.state.context)
    try:
        stalled = socket.socket()
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", server.address.port))
        with stalled, video_of(other) as video:
            stalled.sendall(f"GET /api/cameras/door/video.mjpeg HTTP/1.1\r\nHost: {server.address}\r\n\r\n".encode())
            until(lambda: parted(video.recv(60)) and app.state.context.live.counts()["door"]["skipped"])
            frames = [parted(video.recv(60))[0] for _ in range(10)]
            assert app.state.context.live.viewers == 2
        numbers = [frame["result"]["frame"] for frame in frames[1:]]
        assert numbers == sorted(set(numbers))
        assert not any("skipped" in frame for frame in frames[1:])
    finally:
        server.close()
    assert all(worker.restarts == 0 for worker in running.engine.health().workers.values())


def test_a_connection_that_says_nothing_is_closed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.service.server.FIRST_REQUEST_SECONDS", 0.3)
    with serving(running.engine) as other:
        host, port = other.url.removeprefix("http://").split(":")
        for sent in (b"", b"GET /healthz HTTP/1.1\r\nHost: "):
            with socket.create_connection((host, int(port)), 60) as client:
                client.sendall(sent)
                assert client.recv(100) == b""


def test_a_token_is_asked_for(running: Running) -> None:
    token = "a token of some length"
    with serving(running.engine, token=token) as closed, httpx.Client(base_url=closed.url, timeout=60) as web:
        assert web.get("/").status_code == 200
        assert web.get("/healthz").status_code == 200
        assert web.get("/api/session").json()["token_needed"] is True
        assert web.get("/metrics").status_code == web.get("/api/cameras").status_code == 401
        assert web.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        with pytest.raises(Exception, match="401"), video_of(closed):
            pass
        assert web.post("/api/session", content="wrong").status_code == 401
        answer = web.post("/api/session", content=token)
        assert answer.status_code == 204
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert "samesite=strict" in answer.headers["set-cookie"].lower()
        assert web.get("/api/cameras").status_code == 200
        assert web.post("/api/analyze", content=b"x").status_code == 404  # it was not asked for
        web.delete("/api/session")
        assert web.get("/api/cameras").status_code == 401


def test_mounted_in_another_application() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    from ferengine.service.app import create_app

    engine = Engine(keep_open=True)
    app = create_app(engine)
    outer = TestClient(Starlette(routes=[Mount("/faces", app)]), base_url="http://localhost")
    with outer:
        assert "page.js" in outer.get("/faces/").text
        assert outer.get("/faces/page.js").status_code == 200
        assert outer.get("/faces/api/cameras").json()["cameras"] == []
        outer.portal.call(app.state.context.close)
    engine.close()


def test_two_viewers_more_than_allowed(running: Running) -> None:
    with serving(running.engine, max_clients=1) as small, video_of(small) as video:
        parted(video.recv(60))
        with httpx.Client(base_url=small.url, timeout=60) as web:
            answer = web.get("/api/cameras/door/snapshot.jpg")
        assert answer.status_code == 503
        assert "1 clients are watching, which is the maximum" in answer.json()["error"]


def test_tls(running: Running, tmp_path: Path) -> None:
    from ferengine.service.app import create_app
    from ferengine.service.server import Address, Server, Tls

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run(
        [*made, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    app = create_app(running.engine, token="a token of some length")
    server = Server(app, Address("127.0.0.1", 0), Tls(certificate, key), before_end=app.state.context.close)
    server.start()
    try:
        trusted = ssl.create_default_context(cafile=str(certificate))
        url = server.url.replace("127.0.0.1", "localhost")
        assert url.startswith("https://")
        with httpx.Client(base_url=url, verify=trusted, timeout=60) as web:
            answer = web.post("/api/session", content="a token of some length")
            assert "secure" in answer.headers["set-cookie"].lower()
            cookie = answer.headers["set-cookie"].partition(";")[0]
            assert web.get("/api/cameras").status_code == 200
        with connect(
            f"{url.replace('https', 'wss')}/api/results", ssl=trusted, additional_headers={"Cookie": cookie}
        ) as results:
            assert json.loads(results.recv(60))["camera"] == "door"
    finally:
        server.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"analysis": {"min_fce": 40}}, r"^unknown setting 'min_fce': did you mean 'min_face'\?$"),
        ({"analysis": {"min_face": 1}}, "^min_face: input should be greater than or equal to 12, not 1$"),
        ({"token": "short"}, "^the token has 5 characters, and needs at least "),
        ({"token": b"a token of some length"}, "^the token is a text of at least .* characters, not bytes$"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_request(options: dict[str, Any], said: str) -> None:
    from ferengine.service.app import create_app

    with contextlib.closing(Engine(keep_open=True)) as engine, pytest.raises(UsageError, match=said):
        create_app(engine, **options)


def test_a_path_is_a_model_of_images_too() -> None:
    from ferengine.service.app import create_app

    with contextlib.closing(Engine(keep_open=True)) as engine:
        app = create_app(engine, analysis={"model": Path("fast"), "queue": 7})
    assert app.state.context.analysis._settings == {"model": "fast"}
