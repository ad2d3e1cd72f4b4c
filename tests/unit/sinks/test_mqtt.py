"""What a broker gets, also one that is killed and comes back."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ferengine.errors import UsageError
from ferengine.results import CameraEvent
from results_help import face, result

mqtt = pytest.importorskip("paho.mqtt.client", reason="the extra `mqtt` is not installed")
ours = pytest.importorskip("ferengine.sinks.mqtt")
Broker, MqttSink = ours.Broker, ours.MqttSink

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class RunningBroker:
    """Mosquitto on a port of its own, with one subscriber to everything."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.start()
        self.seen: list[tuple[str, str, bool]] = []
        self.listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.listener.reconnect_delay_set(1, 1)
        self.listener.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.listener.on_message = lambda _, __, message: self.seen.append(
            (message.topic, message.payload.decode(), bool(message.retain))
        )
        subscribed: list[int] = []
        self.listener.on_subscribe = lambda _client, _data, number, *_: subscribed.append(number)
        self.listener.connect("127.0.0.1", self.port)
        self.listener.loop_start()
        until(lambda: subscribed)  # events are not retained: what comes before is never seen

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.process = subprocess.Popen([MOSQUITTO, "-c", self._config], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        def answers() -> bool:
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", self.port)) == 0

        until(answers)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def last(self, topic: str) -> str | None:
        found = [text for name, text, _ in self.seen if name == topic]
        return found[-1] if found else None

    def events(self) -> list[str]:
        return [json.loads(text)["event"] for topic, text, _ in self.seen if topic.endswith("/event")]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    made = RunningBroker(tmp_path)
    yield made
    made.listener.loop_stop()
    made.kill()


def feed(sink: Any, begin: int, end: int, label: str = "happy") -> None:
    for number in range(begin, end):
        sink.write(result(number, face(1, label), camera="front door/#1"))


@needs_broker
def test_states_events_and_discovery(broker: RunningBroker) -> None:
    clock = [0.0]
    sink = MqttSink(Broker.parse(f"mqtt://127.0.0.1:{broker.port}/home/faces"), clock=lambda: clock[0])
    feed(sink, 0, 10)
    until(lambda: broker.events() == ["appeared"])
    name = "home/faces/front door__1"
    until(lambda: broker.last(f"{name}/people"))
    assert json.loads(broker.last(f"{name}/people") or "") == {"count": 1, "labels": {"happy": 1}}
    assert broker.last("home/faces/status") == "online"
    assert broker.last(f"{name}/state") == "running"
    [(topic, text)] = [(topic, text) for topic, text, _ in broker.seen if topic.startswith("homeassistant/")]
    assert topic == "homeassistant/device/home_faces_front_door__1/config"
    device: dict[str, Any] = json.loads(text)
    assert device["device"]["name"] == "front door/#1"
    assert {part["platform"] for part in device["components"].values()} == {"sensor", "binary_sensor"}
    assert device["components"]["people"]["state_topic"] == f"{name}/people"
    assert "payload_off" not in device["components"]["running"]  # with the template every state is ON or OFF
    assert device["components"]["running"]["value_template"] == "{{ 'ON' if value == 'running' else 'OFF' }}"
    clock[0] = 2.0
    sink.write_camera_event(CameraEvent("front door/#1", "disconnected", 5.0, "no frames"))
    until(lambda: broker.last(f"{name}/state") == "disconnected")
    until(lambda: broker.events() == ["appeared", "left", "disconnected"])
    sink.close()
    sink.close()
    until(lambda: broker.last("home/faces/status") == "offline")
    assert sink.dropped == 0


@needs_broker
def test_a_broker_that_is_killed_gets_everything_when_it_is_back(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MqttSink(Broker.parse(f"mqtt://127.0.0.1:{broker.port}"))
    feed(sink, 0, 10)
    until(lambda: broker.events() == ["appeared"])
    broker.kill()
    until(lambda: "trying again" in caplog.text)
    feed(sink, 10, 30, "sad")  # while it is away
    assert sink._unconfirmed
    broker.seen.clear()
    broker.start()
    until(lambda: sink._unconfirmed <= set(sink._confirmed))  # by the broker: the listener may be back only after they came
    until(lambda: broker.last("ferengine/front door__1/state") == "running")
    sink.close()
    assert sink.dropped == 0
    assert "connected again" in caplog.text


@needs_broker
def test_a_broker_that_is_away_loses_only_what_is_counted(broker: RunningBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outage is longer than the queue: what that holds arrives."""
    monkeypatch.setattr("ferengine.sinks.mqtt.MAX_WAITING", 50)
    sink = MqttSink(Broker.parse(f"mqtt://127.0.0.1:{broker.port}"))
    until(lambda: broker.last("ferengine/status") == "online")
    broker.kill()
    until(lambda: not sink._client.is_connected())
    for number in range(120):
        sink.write_camera_event(CameraEvent("door", "reconnected", float(number), seconds=1.0))
    dropped = sink.dropped
    assert 120 - 50 - 20 <= dropped <= 120 - 50  # twenty may be on their way besides
    broker.start()
    until(lambda: len(set(sink._confirmed) & sink._unconfirmed) == 120 - dropped)  # by the broker, as above
    sink.close()
    assert sink.dropped == dropped


@needs_broker
def test_the_last_will_says_that_it_has_died(broker: RunningBroker) -> None:
    sink = MqttSink(Broker.parse(f"mqtt://127.0.0.1:{broker.port}"))
    until(lambda: broker.last("ferengine/status") == "online")
    sink._client._sock.shutdown(socket.SHUT_RDWR)  # as when the process is killed
    until(lambda: ("ferengine/status", "offline", False) in broker.seen)
    sink.close()


def test_without_a_broker_a_bounded_number_of_events_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferengine.sinks.mqtt.MAX_WAITING", 5)
    sink = MqttSink(Broker.parse("mqtt://127.0.0.1:9"))
    for number in range(20):
        sink.write_camera_event(CameraEvent("door", "reconnected", float(number), seconds=1.0))
    assert 10 <= sink.dropped <= 15
    sink.close()
    assert sink.dropped == 20  # those that waited were not delivered either


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "prefix"),
    [("mqtt://broker", "broker", 1883, None, "ferengine"), ("mqtts://me@broker:99/a/b/", "broker", 99, "me", "a/b"),
     ("mqtts://[::1]", "::1", 8883, None, "ferengine"), ("mqtt://m%40e:p%2Fw@broker", "broker", 1883, "m@e", "ferengine")],
)  # fmt: skip
def test_brokers(url: str, host: str, port: int, user: str | None, prefix: str) -> None:
    broker = Broker.parse(url)
    assert (broker.host, broker.port, broker.user, broker.prefix) == (host, port, user, prefix)
    assert Broker.parse(url, "secret").password == "secret" if user else True
    assert "p%2Fw" not in broker.shown


@pytest.mark.parametrize(
    "url", ["broker", "http://broker", "mqtt://", "mqtt://broker:x", "mqtt://broker/a/#", "mqtt://:secret@broker"]
)
def test_what_is_no_broker_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--mqtt") as error:
        Broker.parse(url)
    assert "secret" not in str(error.value)
