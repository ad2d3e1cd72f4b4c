"""The outputs that take camera events, too: MQTT, a webhook, a database, Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ferengine.cli.settings import RunSettings
from ferengine.engine import Engine
from ferengine.errors import UsageError
from ferengine.results import CameraEvent
from ferengine.sinks.sink_thread import Sink


class MessageSink(Sink, Protocol):
    """A sink that takes camera events, too, and counts what it could not deliver."""

    @property
    def dropped(self) -> int: ...

    def write_camera_event(self, event: CameraEvent) -> None:
        """Send or keep what happened to a camera."""
        ...


def message_sinks(settings: RunSettings, engine: Engine) -> Iterator[tuple[str, MessageSink]]:
    """Make those that the settings name; each loads only what it needs.

    Args:
        settings: Which there are.
        engine: Whose results they get.

    Raises:
        UsageError: A setting makes no sense.
        SinkError: The database or the folder cannot be written.
        ModuleNotFoundError: A package of an extra is missing.
    """
    if settings.store is not None:
        from ferengine.sinks.store import StoreSink

        yield "store", StoreSink(settings.store, settings.store_days)
    if settings.parquet is not None:
        from ferengine.sinks.parquet import ParquetSink, parquet_schema

        prior = None if engine.prior is None else engine.prior.name
        schema = parquet_schema(engine.labels, engine.gender_labels, prior)
        yield (
            "parquet",
            ParquetSink(settings.parquet, schema, settings.parquet_rows, 60 * settings.parquet_minutes, prior),
        )
    if settings.webhook is not None:
        from ferengine.sinks.webhook import WebhookSink

        secret = None if settings.webhook_secret is None else _secret("--webhook-secret", settings.webhook_secret).encode()
        yield "webhook", WebhookSink(settings.webhook, secret)
    if settings.mqtt is not None:
        from ferengine.sinks.mqtt import Broker, MqttSink

        password = None if settings.mqtt_password is None else _secret("--mqtt-password", settings.mqtt_password)
        yield "mqtt", MqttSink(Broker.parse(settings.mqtt, password))


def _secret(option: str, path: Path) -> str:
    """What a file holds, without the end of the line. Raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{option}: {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not text:
        raise UsageError(f"{option}: {path} is empty")
    return text
