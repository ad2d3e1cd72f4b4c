"""Files that hold one secret, and what is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ferengine.errors import FerengineError, UsageError
from ferengine.models.priors import choose_prior
from ferengine.models.registry import load_model
from ferengine.report.recordings import read_recording
from ferengine.sinks.outbox import read_secret


def test_a_secret_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("p\N{LATIN SMALL LETTER U WITH DIAERESIS}ss word\n")
    assert read_secret("--mqtt-password", tmp_path / "a") == "p\N{LATIN SMALL LETTER U WITH DIAERESIS}ss word"


def test_a_secret_as_other_systems_write_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfpass word\r\n")
    assert read_secret("--mqtt-password", tmp_path / "a") == "pass word"


def test_what_is_no_secret_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    cases = {
        "empty": "is empty",
        "latin": "not UTF-8 text",
        "absent": "No such file",
        ".": "Is a directory",
        "x" * 300: "too long",
    }
    for name, reason in cases.items():
        with pytest.raises(UsageError, match=f"--token-file: .*{reason}") as caught:
            read_secret("--token-file", tmp_path / name)
        assert len(str(caught.value).splitlines()) == 1


def test_devices_without_an_end_take_no_memory(tmp_path: Path) -> None:
    """They have the size 0; reading all of them ends with the machine's memory."""
    with pytest.raises(UsageError, match="which no secret has"):
        read_secret("--mqtt-password", Path("/dev/zero"))
    (tmp_path / "prior.json").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="is no file"):
        choose_prior(load_model("fast").manifest, os.fspath(tmp_path / "prior.json"))
    with pytest.raises(FerengineError, match="it holds no events"):
        read_recording([Path("/dev/zero")])
