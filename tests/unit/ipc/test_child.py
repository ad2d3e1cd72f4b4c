"""Children that are asked once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferengine.ipc.child import ask_once


@pytest.mark.parametrize("arguments", [["-c", "import json; print(json.dumps({'a': 1}))"], ["-m", "json.tool", "--compact"]])
def test_the_current_folder_is_not_imported_from(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('the file of the current folder')")
    monkeypatch.chdir(tmp_path)
    assert isinstance(ask_once(arguments, 60.0, '{"a": 1}' if "-m" in arguments else ""), dict)
