"""The description of a source: its fields, its text, and its form as a dictionary."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from ferengine.errors import UsageError
from ferengine.sources import SourceSpec, parse_source

SECRET = "rtsp://me:hunter2@10.0.0.7:8554/live"


@pytest.mark.parametrize(
    ("text", "kind", "value", "name"),
    [
        (SECRET, "stream", SECRET, "10.0.0.7"),
        (f"door={SECRET}", "stream", SECRET, "door"),
        ("http://cam/x?a=b", "stream", "http://cam/x?a=b", "cam"),
        ("rtsp://[fe80::1]/x", "stream", "rtsp://[fe80::1]/x", "fe80::1"),
        ("/dev/video3", "camera", "/dev/video3", "camera3"),
        ("/dev/v4l/by-id/usb-C920-index0", "camera", "/dev/v4l/by-id/usb-C920-index0", "usb-C920-index0"),
        ("left=2", "camera", "2", "left"),
        ("stage=demo:turn", "demo", "turn", "stage"),
        ("frames/*.png", "images", "frames/*.png", "frames"),
        ("portrait.JPG", "images", "portrait.JPG", "portrait"),
        ("./a=b.mp4", "file", "./a=b.mp4", "a=b"),
        ("/dev/shm/clip.mp4", "file", "/dev/shm/clip.mp4", "clip"),
    ],
)
def test_what_a_text_names(text: str, kind: str, value: str, name: str) -> None:
    spec = parse_source(text, rotate=90)
    assert spec == SourceSpec(kind, value, name, rotate=90)  # type: ignore[arg-type]
    assert SourceSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_an_existing_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.mp4").touch()
    Path("images [2]").mkdir()
    assert parse_source("a=b.mp4") == SourceSpec("file", "a=b.mp4", "a=b")
    assert parse_source("images [2]") == SourceSpec("images", "images [2]", "images [2]")
    assert parse_source(".").name == tmp_path.name
    assert parse_source(Path("x=y.mp4")) == SourceSpec("file", "x=y.mp4", "x=y")
    assert parse_source("x=y.mp4") == SourceSpec("file", "y.mp4", "x")


def test_credentials_are_in_no_text_of_a_spec() -> None:
    spec = parse_source(SECRET)
    for text in (repr(spec), str(spec), f"{[spec]}", spec.name, spec.where):
        assert "hunter2" not in text
        assert "me:" not in text
    assert "10.0.0.7:8554" in repr(spec)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "tape"),
        ("name", ""),
        ("name", "a/b"),
        ("name", ".."),
        ("name", "a\nb"),
        ("name", "rtsp://me:hunter2@host"),
        ("name", 7),
        ("value", ""),
        ("value", None),
        ("loop", -1),
        ("loop", 1.5),
        ("pace", "slow"),
        ("size", "1280"),
        ("size", [1280]),
        ("size", [0, 720]),
        ("fps", 0),
        ("fps", float("nan")),
        ("fps", "30"),
        ("pixel_format", "MJPEG"),
        ("rotate", 45),
        ("rotate", False),
        ("drop", "oldest"),
        ("reconnect", True),
        ("timeout", 0),
        ("transport", "http"),
    ],
)
def test_wrong_fields_are_named(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"^{field}: ") as caught:
        SourceSpec.from_dict({"kind": "camera", "value": "0", "name": "camera0", field: value})
    assert "hunter2" not in str(caught.value)


def test_a_dictionary_may_say_source() -> None:
    spec = SourceSpec.from_dict({"source": f"door={SECRET}", "size": "1280x720", "fps": 15})
    assert spec == SourceSpec("stream", SECRET, "door", size=(1280, 720), fps=15)
    assert SourceSpec.from_dict({"source": "0", "name": "hall"}).name == "hall"
    for wrong, message in (
        ({"source": "0", "kind": "file"}, "either source or kind"),
        ({"kind": "file", "value": "x"}, "name: missing"),
        ({"source": "0", "sise": "1x1"}, "no field 'sise': known are source, kind"),
        ({"source": 5.5, "value": "x"}, "either source or kind"),
    ):
        with pytest.raises(UsageError, match=message):
            SourceSpec.from_dict(wrong)


def test_what_drops_and_what_waits() -> None:
    camera, clip = parse_source("0"), parse_source("x.mp4")
    assert (camera.live, clip.live, parse_source("x.mp4", pace="native").live) == (True, False, True)
    assert not parse_source("0", drop="none").live
    assert parse_source("x.mp4", drop="newest").live
    assert (camera.drops(False), parse_source("0", drop="newest").drops(False)) == (False, True)
