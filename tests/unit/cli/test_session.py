"""What a run refuses before it touches a file, and what makes its exit code 1."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from ferengine.cli.session import any_image_unread, check_files, refuse_absent, say_renamed
from ferengine.cli.settings import RunSettings
from ferengine.engine import Engine
from ferengine.errors import SourceError, UsageError
from ferengine.sources import parse_source


@pytest.mark.parametrize("output", ["health_file", "summary", "events", "csv", "save", "store"])
@pytest.mark.parametrize("read", ["--config", "--model", "--prior", "--mqtt-password", "--webhook-secret"])
def test_no_output_replaces_a_file_that_is_read(read: str, output: str, tmp_path: Path) -> None:
    path = tmp_path / "precious.json"
    path.write_text("precious")
    (tmp_path / "link.json").hardlink_to(path)
    given: dict[str, Any] = {output: str(tmp_path / "link.json"), "overwrite": True}
    if read != "--config":
        given[read.removeprefix("--").replace("-", "_")] = str(path)
    settings = RunSettings(source=("demo",), **given)
    with pytest.raises(UsageError, match=f"is the file of {read}"):
        check_files(settings, settings.specs(), read={"--config": path} if read == "--config" else None)


def test_a_health_file_replaces_only_what_a_run_has_left(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    settings = RunSettings(source=("demo",), health_file=path)
    for text, kept in (('{"time": 1.5, "ok": true, "state": "ended"}', False), ("", False), ("notes", True), ("[1]", True)):
        path.write_text(text)
        if kept:
            with pytest.raises(UsageError, match="exists already"):
                check_files(settings, [])
        else:
            check_files(settings, [])
    check_files(settings.model_copy(update={"overwrite": True}), [])


@pytest.mark.parametrize(("secret", "use"), [("webhook_secret", "webhook"), ("mqtt_password", "mqtt")])
def test_a_secret_without_its_use_is_no_silence(secret: str, use: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {secret: tmp_path / "secret"}
    with pytest.raises(UsageError, match=rf"^--{secret.replace('_', '-')} is of no use without --{use}: give both or neither$"):
        check_files(RunSettings(source=("demo",), **given), [])
    check_files(RunSettings(source=("demo",), **given, **{use: f"{use}://host"}), [])


@pytest.mark.parametrize(
    ("setting", "value", "use"),
    [
        ("parquet_rows", 5, "parquet"),
        ("parquet_minutes", 1.0, "parquet"),
        ("store_days", 2.0, "store"),
        ("clip_before", 1.0, "clips"),
        ("clip_after", 1.0, "clips"),
        ("media_events", ("left",), "snapshots or --clips"),
        ("media_draw", False, "snapshots or --clips"),
        ("media_days", 7.0, "snapshots or --clips"),
        ("media_megabytes", 10, "snapshots or --clips"),
    ],
)
def test_how_an_output_is_written_is_not_said_of_none(setting: str, value: object, use: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {setting: value}
    option = f"--{setting.replace('_', '-')}"
    with pytest.raises(UsageError, match=rf"^{option} is of no use without --{use}: give both or neither$"):
        check_files(RunSettings(source=("demo",), **given), [])
    for output in use.split(" or --"):
        check_files(RunSettings(source=("demo",), **given, **{output: tmp_path / "out"}), [])


@pytest.mark.parametrize("name", ["csv", "parquet", "save", "summary", "store", "clips", "snapshots", "health_file", "events"])
def test_an_empty_path_is_refused(name: str) -> None:
    given: dict[str, Any] = {name: ""}
    with pytest.raises((UsageError, ValidationError), match=r"the path is empty|at least 1 character"):
        RunSettings.model_validate({"source": ("demo",), **given})


def test_the_name_of_a_model_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = RunSettings(source=("demo",), events="faces", model="faces")
    check_files(settings, settings.specs())


def test_images_that_could_not_be_read_make_the_exit_code_1(tmp_path: Path) -> None:
    specs = [parse_source(str(tmp_path / name)) for name in ("*.jpg", "a.mp4")]
    folder, video = (spec.name for spec in specs)
    for broken, expected in (({folder: 0, video: 3}, False), ({folder: 2, video: 0}, True)):
        cameras = {name: SimpleNamespace(dropped={"broken": count}) for name, count in broken.items()}
        engine = cast(Engine, SimpleNamespace(health=lambda cameras=cameras: SimpleNamespace(cameras=cameras)))
        assert any_image_unread(engine, specs) == expected


def test_files_that_are_not_there_are_refused_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").touch()
    mistyped, absent = parse_source(str(tmp_path / "tlak.mp4")), parse_source(str(tmp_path / "no" / "film.mp4"))
    with pytest.raises(SourceError) as caught:
        refuse_absent([mistyped, absent])
    assert str(caught.value).splitlines() == [
        f"there is no file {tmp_path / 'tlak.mp4'}: did you mean {tmp_path / 'talk.mp4'}?",
        f"there is no file {tmp_path / 'no' / 'film.mp4'}",
    ]
    for there in (parse_source("demo"), parse_source(str(tmp_path / "talk.mp4")), parse_source("-")):
        refuse_absent([mistyped, there])
    refuse_absent([])


def test_a_source_with_the_name_of_another_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "ferengine"):
        say_renamed([parse_source(text) for text in ("a=demo", "b=demo", "a=shots/a.mp4")])
    assert caplog.messages == ["shots/a.mp4 is a-2 in results: another source is a"]
