"""Children that answer requests, where packages are missing."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from ferengine.errors import MissingDependencyError, ServiceError
from ferengine.stages.child import start_child

CHILD = """
{top}
from ferengine.ipc.child import serve_parent

def main(arguments):
    def answer(data):
        if data == b"more":
            import lap
        return data * 2
    serve_parent(*arguments, answer)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that children import from, without the package lap, which ferengine requires there."""
    (tmp_path / "lap.py").write_text("raise ModuleNotFoundError(\"No module named 'lap'\", name='lap')\n")
    metadata = tmp_path / "ferengine-0.2.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ferengine\nVersion: 0.2.0\nRequires-Dist: lap>=7\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


@pytest.mark.parametrize(("top", "asked"), [("import lap", b"some"), ("import lap", bytes(1 << 24)), ("", b"more")])
def test_a_child_that_lacks_a_package_says_so(folder: Path, capfd: pytest.CaptureFixture[str], top: str, asked: bytes) -> None:
    (folder / "answers.py").write_text(CHILD.format(top=top))
    with closing(start_child("answers", "answers")) as child:
        if not top:
            assert child.ask(b"ab", 60) == b"abab"
        with pytest.raises(MissingDependencyError, match=r"^the package lap is not installed: .*install .*lap>=7'?$"):
            child.ask(asked, 60)
        with pytest.raises(ServiceError, match=r"^the process 'answers' has died: try again$"):
            child.ask(b"ab", 60)
    assert capfd.readouterr() == ("", "")


def test_another_module_that_is_missing_is_a_fault_of_the_program(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "answers.py").write_text(CHILD.format(top="import no_such_module"))
    with closing(start_child("answers", "answers")) as child, pytest.raises(ServiceError, match="has died"):
        child.ask(b"ab", 60)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in capfd.readouterr().err


@pytest.mark.parametrize("module", ["ferengine.service.encoder", "ferengine.service.image_worker", "ferengine.media.worker"])
def test_those_of_the_service_are_such_children(folder: Path, capfd: pytest.CaptureFixture[str], module: str) -> None:
    (folder / "cv2.py").write_text("raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')\n")
    with (
        Path(os.devnull).open("rb") as memory,
        closing(start_child(module, "some", [memory.fileno()])) as child,
        pytest.raises(MissingDependencyError, match=r"^OpenCV is not installed: .*install .*opencv-contrib-python<5"),
    ):
        child.ask(b"{}", 60)
    assert capfd.readouterr() == ("", "")
