"""The settings file of a fleet: what arrives, and what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferengine.cli.fleet_settings import FleetSettings, load_fleet_settings
from ferengine.errors import UsageError

TEXT = """\
detector = "haar"
lease = 8
events = "out/{node}"

[[camera]]
name = "door"
url = "rtsp://user:secret@10.0.0.7/live"
affinity = { site = "north" }

[[camera]]
demo = "turn"
pace = "fast"

[[camera]]
file = "talk.mp4"
"""


def load(tmp_path: Path, text: str) -> FleetSettings:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    return load_fleet_settings(path)


def test_cameras_outputs_and_settings_of_the_engine(tmp_path: Path) -> None:
    settings = load(tmp_path, TEXT)
    assert settings.engine_values() == {"detector": "haar"}
    assert settings.outputs().events == "out/{node}"
    assert settings.lease == 8
    (door, affinity), (demo, _), (talk, nowhere) = settings.sources()
    assert (door.name, door.value, door.reconnect, affinity) == (
        "door", "rtsp://user:secret@10.0.0.7/live", "always", {"site": "north"},
    )  # fmt: skip
    assert (demo.kind, demo.loop, demo.pace) == ("demo", 0, "fast")
    assert (talk.name, talk.loop, talk.pace, nowhere) == ("talk", 1, "native", {})


@pytest.mark.parametrize(
    ("setting", "use"),
    [
        ("store-days = 3", 'store = "{node}.db"'),
        ('mqtt-password = "password"', 'mqtt = "mqtt://broker.local"'),
        ('webhook-secret = "secret"', 'webhook = "https://example.com/hook"'),
        ("node-port = 8081", 'listen = "127.0.0.1:8080"'),
        ('token-file = "token"', 'listen = "127.0.0.1:8080"'),
        ('tls-certificate = "chain.pem"', 'listen = "127.0.0.1:8080"'),
        ('tls-key = "key.pem"', 'listen = "127.0.0.1:8080"'),
    ],
)
def test_settings_of_what_is_not_asked_for_are_refused(setting: str, use: str, tmp_path: Path) -> None:
    name, needed = setting.partition(" ")[0], use.partition(" ")[0]
    with pytest.raises(UsageError, match=rf"fleet\.toml: {name} is of no use without {needed}: give both or neither$"):
        load(tmp_path, f"{setting}\n{TEXT}")
    assert load(tmp_path, f"{setting}\n{use}\n{TEXT}").sources()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("lease = 8", "lease = 1", "fleet.toml:2: lease: input should be greater than or equal to 2, not 1"),
        ("detector", "detektor", "fleet.toml:1: unknown setting 'detektor': did you mean 'detector'?"),
        ("affinity", "afinity", "fleet.toml:8: unknown setting 'afinity': did you mean 'affinity'?"),
        ("[[camera]]", "[[source]]", "there are no tables [[source]] here: write [[camera]]"),
        ('file = "talk.mp4"', "fps = 5.0", "a source needs exactly one of"),
        ("rtsp://user:secret@10.0.0.7/live", "rtsp://user:secret@", "fleet.toml: "),
    ],
)
def test_mistakes_are_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, TEXT.replace(before, after, 1))
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
