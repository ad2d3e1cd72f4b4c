"""Publishes events and the state of each camera over MQTT, with discovery for Home Assistant."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ferengine import __version__
from ferengine.errors import UsageError
from ferengine.json_text import json_text
from ferengine.results import CameraEvent, FrameResult
from ferengine.sinks.person_events import Event, EventDetector
from ferengine.sources.url import redact_url

MAX_WAITING = 1000
"""Events that may wait while the broker is away; further ones are dropped, and counted."""
_STATE_SECONDS = 1.0
_PATIENCE = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1, 30
_HOME_ASSISTANT = "homeassistant/status"

log = logging.getLogger("ferengine")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to publish, from ``mqtt://USER@HOST:PORT/PREFIX`` (``mqtts`` for TLS)."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None
    prefix: str
    shown: str

    @classmethod
    def parse(cls, url: str, password: str | None = None) -> Broker:
        """Read a URL. Raises UsageError, which shows no password."""
        hint = "--mqtt: give mqtt://[USER@]HOST[:PORT][/PREFIX], or mqtts:// for TLS"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise UsageError(hint) from None
        if parts.scheme not in ("mqtt", "mqtts") or not host:
            raise UsageError(hint)
        prefix = parts.path.strip("/") or "ferengine"
        if re.search(r"[?#]", url) or re.search(r"[+\0]", prefix):
            raise UsageError(f"{hint}; the prefix holds no +, # and ?")
        tls = parts.scheme == "mqtts"
        user = unquote(parts.username) if parts.username else None
        given = password if password is not None else unquote(parts.password) if parts.password else None
        if given is not None and user is None:
            raise UsageError("--mqtt: a password needs a user: mqtt://USER@HOST")
        return cls(host, port or (8883 if tls else 1883), tls, user, given, prefix, redact_url(url))


class MqttSink:
    """Publishes, below the prefix:

    - ``status``: "online", or "offline" also when this program dies (last will); retained.
    - ``CAMERA/state``: "running", "disconnected" or "ended"; retained.
    - ``CAMERA/people``: how many people there are, and how many show each label, as JSON; once a second where it has
      changed; retained.
    - ``CAMERA/event``: each event as JSON, at least once.

    Characters of a camera's name that topics cannot hold become underscores. A broker that is away is connected to again;
    meanwhile events wait, and when it is back all states are published anew.

    Args:
        broker: Where to.
        discovery: Prefix of Home Assistant's discovery; ``None`` for none.
        clock: Monotonic seconds.
        detector: Finds the events; None for one that attaches nothing to them.
    """

    def __init__(
        self,
        broker: Broker,
        discovery: str | None = "homeassistant",
        clock: Callable[[], float] = time.monotonic,
        detector: EventDetector | None = None,
    ) -> None:
        self._broker = broker
        self._discovery = discovery
        self._clock = clock
        self._detector = detector or EventDetector()
        self._names: dict[str, str] = {}
        self._retained: dict[str, str] = {}
        self._people: dict[str, tuple[float, str]] = {}
        self._is_away = self._closed = False
        self.dropped = 0
        self._unconfirmed: set[int] = set()
        self._confirmed: deque[int] = deque()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        client.enable_logger(logging.getLogger("ferengine.mqtt"))
        client.max_queued_messages_set(MAX_WAITING)
        client.reconnect_delay_set(_FIRST_PAUSE, _LONGEST_PAUSE)
        client.will_set(self._topic("status"), "offline", qos=1, retain=True)
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls:
            client.tls_set()
        client.on_connect = self._note_connected
        client.on_disconnect = self._note_disconnected
        client.on_connect_fail = self._note_failed
        client.on_message = self._note_message
        client.on_publish = self._note_published
        self._client = client
        client.connect_async(broker.host, broker.port, keepalive=30)
        client.loop_start()

    def write(self, result: FrameResult) -> None:
        """Publish what happened with this result, and the people where they have changed."""
        name = self._known(result.camera)
        for event in self._detector.add(result):
            self._publish_event(event)
        labels = Counter(face.expression.smoothed.label for face in result.faces if face.expression is not None)
        text = json_text({"count": len(result.faces), "labels": dict(sorted(labels.items()))})
        due, before = self._people.get(name, (0.0, ""))
        if text != before and self._clock() >= due:
            self._people[name] = self._clock() + _STATE_SECONDS, text
            self._retain(f"{name}/people", text)

    def write_camera_event(self, event: CameraEvent) -> None:
        """Publish what happened to a camera."""
        name = self._known(event.camera)
        for each in self._detector.add_camera_event(event):
            self._publish_event(each)
        self._retain(f"{name}/state", event.kind if event.kind in ("disconnected", "ended") else "running")
        if event.kind in ("disconnected", "ended"):
            self._people.pop(name, None)
            self._retain(f"{name}/people", json_text({"count": 0, "labels": {}}))

    def flush_if_due(self) -> None:
        """The client sends in a thread of its own."""

    def close(self) -> None:
        """Say "offline" and wait a few seconds for what is on its way; may be called twice."""
        if self._closed:
            return
        self._closed = True
        said = self._client.publish(self._topic("status"), "offline", qos=1, retain=True)
        if said.rc == mqtt.MQTT_ERR_SUCCESS and self._client.is_connected():
            said.wait_for_publish(_PATIENCE)
        self._client.disconnect()
        self._client.loop_stop()
        self._settle()
        self.dropped += len(self._unconfirmed)
        if self.dropped:
            log.warning("%s: %d events were not delivered", self._broker.shown, self.dropped)

    def _topic(self, name: str) -> str:
        return f"{self._broker.prefix}/{name}"

    def _known(self, camera: str) -> str:
        """The name of a camera in topics; a new one is announced."""
        if camera not in self._names:
            name = base = re.sub(r"[+#/\0]", "_", camera)
            number = 1
            while name in self._names.values():
                number += 1
                name = f"{base}-{number}"
            self._names[camera] = name
            self._retain(f"{name}/state", "running")
            if self._discovery is not None:
                topic, text = self._announcement(camera, name)
                self._retained[topic] = text
                self._send(topic, text)
        return self._names[camera]

    def _announcement(self, camera: str, name: str) -> tuple[str, str]:
        """The topic and the text of the camera's discovery as a device (Home Assistant, MQTT discovery)."""
        identity = re.sub(r"[^A-Za-z0-9_-]", "_", f"{self._broker.prefix}_{name}")
        people = self._topic(f"{name}/people")
        components: dict[str, Any] = {
            "people": {
                "platform": "sensor", "name": "People", "unique_id": f"{identity}_people", "state_topic": people,
                "value_template": "{{ value_json.count }}", "state_class": "measurement", "icon": "mdi:account-group",
            },
            "expression": {
                "platform": "sensor", "name": "Expression", "unique_id": f"{identity}_expression", "state_topic": people,
                "value_template": "{{ (value_json.labels | dictsort(false, 'value') | last | default(['none']))[0] }}",
                "icon": "mdi:emoticon-outline",
            },
            "running": {
                "platform": "binary_sensor", "name": "Running", "unique_id": f"{identity}_running",
                "state_topic": self._topic(f"{name}/state"), "value_template": "{{ 'ON' if value == 'running' else 'OFF' }}",
                "device_class": "connectivity",
            },
        }  # fmt: skip
        record = {
            "device": {"identifiers": [identity], "name": camera, "manufacturer": "ferengine", "sw_version": __version__},
            "origin": {"name": "ferengine", "sw_version": __version__},
            "availability": [{"topic": self._topic("status")}],
            "components": components,
        }
        return f"{self._discovery}/device/{identity}/config", json_text(record)

    def _retain(self, name: str, text: str) -> None:
        topic = self._topic(name)
        if self._retained.get(topic) != text:
            self._retained[topic] = text
            self._send(topic, text)

    def _send(self, topic: str, text: str) -> None:
        """A state: where the broker is away it is sent when that is back."""
        if self._client.is_connected():
            self._client.publish(topic, text, qos=0, retain=True)

    def _publish_event(self, event: Event) -> None:
        topic = self._topic(f"{self._known(event.camera)}/event")
        done = self._client.publish(topic, json_text(event.to_dict()), qos=1)
        if done.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            self.dropped += 1
        else:
            self._unconfirmed.add(done.mid)
        self._settle()

    def _settle(self) -> None:
        """Forget the events that the broker has. Not done in the client's thread, where that may come before the event
        was noted."""
        while self._confirmed:
            self._unconfirmed.discard(self._confirmed.popleft())

    def _note_published(self, client: mqtt.Client, data: Any, number: int, reason: Any, properties: Any) -> None:
        self._confirmed.append(number)

    def _note_connected(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        """In the client's thread."""
        if reason.is_failure:
            self._note_away(f"it refuses the connection: {reason}")
            return
        if self._is_away:
            log.warning("%s: connected again", self._broker.shown)
        self._is_away = False
        client.publish(self._topic("status"), "online", qos=1, retain=True)
        self._publish_states(client)
        if self._discovery is not None:
            client.subscribe(_HOME_ASSISTANT)

    def _publish_states(self, client: mqtt.Client) -> None:
        for topic, text in list(self._retained.items()):
            client.publish(topic, text, qos=0, retain=True)

    def _note_message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        """Home Assistant was started: it wants to hear of the devices again."""
        if message.payload == b"online":
            self._publish_states(client)

    def _note_disconnected(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self._closed:
            self._note_away(f"disconnected: {reason}")

    def _note_failed(self, client: mqtt.Client, data: Any) -> None:
        self._note_away("no connection")

    def _note_away(self, said: str) -> None:
        if not self._is_away:
            log.warning("%s: %s; trying again", self._broker.shown, said)
        self._is_away = True
