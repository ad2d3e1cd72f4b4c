"""The description of a source: its fields, the text that names it, its dictionary, and what it opens."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from ferengine.engine import as_spec
from ferengine.errors import UsageError
from ferengine.sources import SourceSpec, open_source, parse_source, unique_names
from ferengine.sources.camera import CameraSource
from ferengine.sources.options import SourceOptions
from ferengine.sources.push import PushSource
from ferengine.sources.video import VideoFileSource
from ferengine.sources.wrappers import PacedSource

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
        ("0", "camera", "0", "camera0"),
        ("12", "camera", "12", "camera12"),
        ("left=2", "camera", "2", "left"),
        ("demo", "demo", "stroll", "demo"),
        ("demo:crossing", "demo", "crossing", "demo"),
        ("./demo", "file", "./demo", "demo"),
        ("/films/woman2.mp4", "file", "/films/woman2.mp4", "woman2"),
        ("clip:1.mp4", "file", "clip:1.mp4", "clip:1"),
        ("stage=demo:turn", "demo", "turn", "stage"),
        ("frames/*.png", "images", "frames/*.png", "frames"),
        ("portrait.JPG", "images", "portrait.JPG", "portrait"),
        ("./a=b.mp4", "file", "./a=b.mp4", "a=b"),
        ("/dev/v4l/../../etc/passwd", "file", "/dev/v4l/../../etc/passwd", "passwd"),
        ("/dev/shm/clip.mp4", "file", "/dev/shm/clip.mp4", "clip"),
    ],
)
def test_parse_source(text: str, kind: str, value: str, name: str) -> None:
    spec = parse_source(text, rotate=90, loop=2, pace="native")
    assert spec == SourceSpec(kind, value, name, rotate=90, loop=2, pace="native")  # type: ignore[arg-type]
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
        ("when_late", "newest"),
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
    assert not parse_source("0", when_late="wait").live
    assert parse_source("x.mp4", when_late="skip").live
    assert (camera.drops(False), parse_source("0", when_late="skip").drops(False)) == (False, True)


def test_sources_that_make_no_sense() -> None:
    for text in ("", "demo:sleep"):
        with pytest.raises(UsageError):
            parse_source(text)
    for text in ("a\0.mp4", "a\0/*.png", "x=a\0b", "demo\0"):
        with pytest.raises(UsageError, match="zero byte is part of no name"):
            parse_source(text)
    with pytest.raises(UsageError):
        parse_source("demo", loop=-1)
    with pytest.raises(UsageError):
        parse_source("demo", pace="slow")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("demo", "sleep", "the demo has no scenario 'sleep': choose one of stroll, "),
        ("camera", "\u00b2", "value: there is no camera \u00b2: a camera's number is short"),
        ("camera", "1234567", "value: there is no camera 1234567: "),
        ("camera", "9" * 5000, r"value: there is no camera 9{40}\.\.\.: "),
    ],
)
def test_what_no_worker_could_open_is_refused(kind: Any, value: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}"):
        SourceSpec(kind, value, "door")
    assert SourceSpec("camera", "7", "door").value == "7"


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^there is no fpss: did you mean 'fps'\?$"):
        parse_source("demo", fpss=5)


def test_self_is_no_option() -> None:
    options: dict[str, Any] = {"self": 1}
    spec = parse_source("demo")
    for make in (partial(SourceSpec, "demo", "stroll", "demo"), partial(parse_source, "demo"), spec.replace):
        with pytest.raises(UsageError, match=r"^there is no self: known are "):
            make(**options)


@pytest.mark.parametrize("values", [None, 5, ["demo"], "demo"])
def test_only_a_dictionary_is_taken_for_one(values: Any) -> None:
    with pytest.raises(UsageError, match=f"^a source is made of a dictionary of its fields, not of {type(values).__name__}$"):
        SourceSpec.from_dict(values)


@pytest.mark.parametrize(
    ("source", "kind", "value"),
    [(3, "camera", "3"), (np.int64(3), "camera", "3"), (np.uint8(0), "camera", "0"),
     (PurePosixPath("a/talk.mp4"), "file", "a/talk.mp4"), (PurePosixPath("door=talk.mp4"), "file", "door=talk.mp4")],
)  # fmt: skip
def test_numbers_and_paths_of_other_kinds(source: Any, kind: str, value: str) -> None:
    spec = parse_source(source)
    assert (spec.kind, spec.value) == (kind, value)
    assert as_spec(source) == spec


def test_no_camera_has_a_number_below_0() -> None:
    for number in (-1, np.int64(-1)):
        with pytest.raises(UsageError, match=r"^a camera's number is 0 or more, not -1$"):
            parse_source(number)


@pytest.mark.parametrize("source", [None, True, np.True_, 3.5, b"talk.mp4", ["talk.mp4"]])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(UsageError, match=f"^a source is a camera's number, .*, not {type(source).__name__}$"):
        parse_source(source)


@pytest.mark.parametrize(
    ("name", "wait", "reason"),
    [("", False, "needs a name, not ''"), (7, False, "needs a name, not 7"), ("a/b", False, "cannot name a file"),
     ("a", "x", "wait .* not 'x'")],
)  # fmt: skip
def test_a_push_source_is_checked(name: Any, wait: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        PushSource(name, wait)


def test_open_source() -> None:
    assert isinstance(open_source(parse_source("3")), CameraSource)
    assert isinstance(open_source(parse_source("clip.mp4")), VideoFileSource)
    native = open_source(parse_source("clip.mp4", loop=2, pace="native"))
    assert isinstance(native, PacedSource)
    demo = open_source(parse_source("demo:empty", loop=2))
    assert demo.open().frames == 1200
    assert open_source(parse_source("demo", loop=0)).open().frames is None


def test_open_source_applies_pace_size_rate_and_rotation() -> None:
    source = open_source(parse_source("demo:empty", size="80x80", fps=5, rotate=270, pace="native"))
    info = source.open()
    assert (info.width, info.height, info.fps, info.live) == (60, 80, 5, True)
    source.close()


def test_unique_names() -> None:
    names = ["woman2", "demo", "woman2", "woman2", "woman2-2", "demo"]
    specs = unique_names([SourceSpec("file", "x", name) for name in names])
    assert [spec.name for spec in specs] == ["woman2", "demo", "woman2-3", "woman2-4", "woman2-2", "demo-2"]


def test_a_spec_is_one_source_and_not_an_iterable_of_its_fields() -> None:
    assert not isinstance(parse_source("0"), Iterable)


def test_replacing_a_field_checks_it() -> None:
    spec = parse_source("clip.mp4")
    assert spec.replace(loop=3, size="64x32") == parse_source("clip.mp4", loop=3, size=(64, 32))
    with pytest.raises(UsageError, match=r"^loop: input should be greater than or equal to 0, not -1"):
        spec.replace(loop=-1)


def test_every_option_has_a_description() -> None:
    for name, field in SourceOptions.model_fields.items():
        assert field.description is not None, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    "spec",
    [
        SourceSpec("camera", "0", "door", fps=12.5, size="640x480", pixel_format="MJPG"),
        SourceSpec("stream", "rtsp://viewer:p%40ss@host:554/live", "yard", reconnect="always", transport="udp"),
        SourceSpec("file", "/films/\udcff talk.mp4", "talk", loop=0, pace="native", rotate=90),
    ],
    ids=lambda spec: spec.name,
)
def test_a_spec_comes_back_from_json(spec: SourceSpec) -> None:
    assert SourceSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Screen Recording at 9.41.00\u202fAM.mov", "Screen Recording at 9.41.00 AM"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf\ufffd"),
        ("x" * 150 + ".mp4", "x" * 100),
        ("\u00e9" * 99 + ".mp4", "\u00e9" * 50),
        ("tab\there.mp4", "tab here"),
    ],
)
def test_any_file_name_becomes_a_name(file: str, name: str) -> None:
    spec = parse_source(file)
    assert (spec.kind, spec.value, spec.name) == ("file", file, name)
    assert SourceSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    spec.where.encode()
    second = unique_names([spec, spec])[1]
    assert second.name != name
    assert len(second.name.encode()) <= 100


def test_long_and_closed_paths_are_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert parse_source("x=" + "x" * 300).kind == "file"
    assert parse_source(str(tmp_path / "x" / "y")).kind == "file"


def test_a_source_is_named_after_a_file_whatever_its_characters() -> None:
    """Bytes that are not UTF-8 come as the surrogates DC80 to DCFF; others stand for nothing."""
    assert parse_source("/films/\udcff\udcfe talk.mp4").name == "\ufffd\ufffd talk"
    for text in ("a\ud800.mp4", "\ud800/*.png", "/dev/video\ud800", "rtsp://host/\ud800"):
        with pytest.raises(UsageError, match="surrogate is no character"):
            parse_source(text)
    for text in ("a\0.mp4", "a\0/*.png", "x=a\0b", "demo\0"):
        with pytest.raises(UsageError, match="zero byte is part of no name"):
            parse_source(text)


def test_a_mistyped_url_is_not_taken_for_a_file() -> None:
    for text in ("rtsp:/camera.local/live", "door=http:camera.local", "udp:"):
        scheme = text.rpartition("=")[2].partition(":")[0]
        with pytest.raises(UsageError, match=rf"^{scheme}:\.\.\. is not a URL: write {scheme}://HOST/PATH$"):
            parse_source(text)
