"""What ``ferengine serve`` refuses before anything starts, and what it begins with."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from command_help import command
from ferengine.cli.serve import greeting
from ferengine.cli.settings import RunSettings, SourceTable
from ferengine.errors import FerengineError, ServiceError, SourceError, UsageError

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

serve = command("serve")


def test_other_machines_need_a_token() -> None:
    with pytest.raises(UsageError, match=r"--listen 0.0.0.0:0: .*--token-file FILE"):
        serve(["--listen", "0.0.0.0:0"])


def test_a_short_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(UsageError, match="5 characters, and needs at least 16"):
        serve(["--token-file", tmp_path / "token"])


def test_a_token_is_made_for_its_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "token"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServiceError, match="is in use"):
        serve(["--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--token-file", path])
    assert len(path.read_text().strip()) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = capsys.readouterr().err
    assert "made a token" in said
    assert path.read_text().strip() not in said


def test_a_token_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FerengineError, match=r"--token-file: .* cannot be read: Is a directory"):
        serve(["--token-file", tmp_path])


def test_certificate_and_key_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give both"):
        serve(["--tls-key", tmp_path / "key.pem"])
    with pytest.raises(ServiceError, match=r"the TLS certificate .*no\.pem cannot be read"):
        serve(["--tls-certificate", tmp_path / "no.pem", "--tls-key", tmp_path / "no.pem", "--listen", "127.0.0.1:0"])


def test_the_state_has_a_file_of_its_own_that_can_be_written(tmp_path: Path) -> None:
    listen = ["--listen", "127.0.0.1:0"]
    with pytest.raises(UsageError, match="--csv and --state name the same file"):
        serve([*listen, "--state", tmp_path / "a", "--csv", tmp_path / "a"])
    with pytest.raises(UsageError, match=r"nowhere/state.json cannot be created: there is no folder"):
        serve([*listen, "--state", tmp_path / "nowhere" / "state.json"])
    (tmp_path / "token").write_text("a token of some length")
    with pytest.raises(UsageError, match=r"--csv: .*token is the file of --token-file"):
        serve([*listen, "--token-file", tmp_path / "token", "--csv", tmp_path / "token", "--overwrite"])
    (tmp_path / "talk.mp4").write_text("{}")
    with pytest.raises(UsageError, match=r"talk.mp4 is the source talk"):
        serve([*listen, tmp_path / "talk.mp4", "--state", tmp_path / "talk.mp4"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.mp4", "token"]
    assert (tmp_path / "token").read_text() == "a token of some length"


def test_the_greeting_names_an_address_that_opens() -> None:
    assert greeting("http://[fe80::1]:80", "fe80::1", True) == ["ferengine is on http://[fe80::1]:80", "Ctrl-C ends it"]
    for host in ("0.0.0.0", "[::]"):
        said = greeting(f"https://{host}:8080", host.strip("[]"), False)
        assert said[1] == "that is every address of this machine; from here https://127.0.0.1:8080"
        assert said[2].startswith("no camera yet")


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SourceError, match=r"^there is no file talk.mp4$"):
        serve(["--listen", "127.0.0.1:0", "talk.mp4"])


def test_what_is_no_camera_plays_at_its_own_rate() -> None:
    from ferengine.service.cameras import NewCamera, as_served

    def played(**settings: Any) -> list[tuple[str, int]]:
        return [(spec.pace, spec.loop) for spec in map(as_served, RunSettings(**settings).specs())]

    assert played(source=("demo", "talk.mp4")) == [("native", 0), ("native", 1)]
    assert played(source=("demo",), pace="fast", loop=2) == [("fast", 2)]
    assert played(source=(SourceTable(demo="stroll", loop=2), SourceTable(file="a.mp4", pace="fast"))) == [
        ("native", 2), ("fast", 1)
    ]  # fmt: skip
    assert as_served(as_served(RunSettings(source=("demo",)).specs()[0])).loop == 0
    for given in ({}, {"pace": "fast"}, {"loop": 3}):
        [same] = played(source=("demo",), **given)
        asked = NewCamera(source="demo", **given).spec()
        assert (asked.pace, asked.loop) == same
