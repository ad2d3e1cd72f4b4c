"""The outputs that take camera events, too: MQTT, a webhook, a database, Parquet files, clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ferengine.cli.settings import RunSettings
from ferengine.engine import Engine
from ferengine.results import CameraEvent
from ferengine.sinks.outbox import read_secret
from ferengine.sinks.person_events import EventDetector
from ferengine.sinks.sink_thread import ResultQueue, Sink

if TYPE_CHECKING:
    from ferengine.media.requests import EventMedia

_IMAGES_WAITING = 4
"""Results with images that may wait to become parts of clips."""


class MessageSink(Sink, Protocol):
    """A sink that takes camera events, too, and counts what it could not deliver."""

    @property
    def dropped(self) -> int: ...

    def write_camera_event(self, event: CameraEvent) -> None:
        """Send or keep what happened to a camera."""
        ...


@dataclass(frozen=True, slots=True)
class MessageOutput:
    """A sink and what its thread needs.

    Attributes:
        name: What it is called in messages.
        sink: The sink.
        queue: Where its results come from.
        give_up: As ``SinkThread`` takes it.
    """

    name: str
    sink: MessageSink
    queue: ResultQueue
    give_up: Callable[[], None] | None = None


def event_media(settings: RunSettings, engine: Engine) -> EventMedia | None:
    """What gives the events of a run their snapshots and clips; None where there are none."""
    if settings.snapshots is None and settings.clips is None:
        return None
    from ferengine.media.requests import EventMedia, MediaSettings

    return EventMedia(
        MediaSettings(
            settings.snapshots, settings.clips, frozenset(settings.media_events), settings.clip_before, settings.clip_after,
            settings.media_days, settings.media_megabytes * 1_000_000, settings.media_draw, settings.draw, engine.blur_frames,
        )
    )  # fmt: skip


def message_outputs(settings: RunSettings, engine: Engine, media: EventMedia | None) -> Iterator[MessageOutput]:
    """Make those that the settings name; each loads only what it needs.

    Args:
        settings: Which there are.
        engine: Whose results they get.
        media: As ``event_media`` makes it.

    Raises:
        UsageError: A setting makes no sense.
        SinkError: The database or the folder cannot be written.
        ModuleNotFoundError: A package of an extra is missing.
    """
    if media is not None:
        from ferengine.media.recorder import MediaRecorder

        images = engine.results(frames=True, queue=_IMAGES_WAITING)
        try:
            recorder = MediaRecorder(media, images)
        except BaseException:
            images.close()
            raise
        yield MessageOutput("media", recorder, recorder.feed, recorder.give_up)

    def detector() -> EventDetector:
        return EventDetector(prior=prior) if media is None else EventDetector(media.for_output(), prior)

    prior = None if engine.prior is None else engine.prior.name
    for name, sink in _senders(settings, engine, detector, prior):
        yield MessageOutput(name, sink, engine.results())


def _senders(
    settings: RunSettings, engine: Engine, detector: Callable[[], EventDetector], prior: str | None
) -> Iterator[tuple[str, MessageSink]]:
    if settings.store is not None:
        from ferengine.sinks.store import StoreSink

        yield "store", StoreSink(settings.store, settings.store_days, detector=detector(), labels=engine.labels, prior=prior)
    if settings.parquet is not None:
        from ferengine.sinks.parquet import ParquetSink, parquet_schema

        schema = parquet_schema(engine.labels, engine.gender_labels, prior, engine.heads)
        yield (
            "parquet",
            ParquetSink(settings.parquet, schema, settings.parquet_rows, 60 * settings.parquet_minutes, prior),
        )
    if settings.webhook is not None:
        from ferengine.sinks.webhook import WebhookSink

        secret = None if settings.webhook_secret is None else read_secret("--webhook-secret", settings.webhook_secret).encode()
        yield "webhook", WebhookSink(settings.webhook, secret, detector())
    if settings.mqtt is not None:
        from ferengine.sinks.mqtt import Broker, MqttSink

        password = None if settings.mqtt_password is None else read_secret("--mqtt-password", settings.mqtt_password)
        yield "mqtt", MqttSink(Broker.parse(settings.mqtt, password), detector=detector())
