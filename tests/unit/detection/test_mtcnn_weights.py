"""The weight files of the ``mtcnn`` package: checked before they are read, turned into ONNX once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest

from ferengine.detection import mtcnn_weights
from ferengine.detection.mtcnn_graphs import NetworkName, build_network
from ferengine.detection.mtcnn_weights import cache_folder, mtcnn_networks, read_weights
from ferengine.errors import MissingDependencyError, ModelError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder is not None
    assert folder.is_relative_to(tmp_path)
    return folder


class Package:
    """An installed package whose files lie in ``root``."""

    def __init__(self, root: Path, version: str) -> None:
        self.root = root
        self.version = version

    def locate_file(self, path: str) -> Path:
        return self.root / path


def install(monkeypatch: pytest.MonkeyPatch, root: Path, version: str = "1.0.0") -> Path:
    folder = root / "mtcnn" / "assets" / "weights"
    folder.mkdir(parents=True)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Package(root, version))
    return folder


def forbid(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def fail(*_: object) -> None:
        raise AssertionError(f"{what} was called")

    monkeypatch.setattr(what, fail)


class Bomb:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path(self.trace),)  # type: ignore[return-value]


def test_other_files_are_refused_before_they_are_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "exploded"
    path = install(monkeypatch, tmp_path, version="1.1.0") / "pnet.lz4"
    joblib.dump(Bomb(trace), path)
    with pytest.raises(ModelError) as caught:
        read_weights("pnet")
    assert not trace.exists()
    assert str(path) in str(caught.value)
    assert "1.1.0" in str(caught.value)
    assert " install " in str(caught.value)
    joblib.load(path)
    assert trace.exists()  # so the pickle would have done it


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_the_arrays_are_those_that_joblib_reads(name: NetworkName) -> None:
    found = read_weights(name)
    path = importlib.metadata.distribution("mtcnn").locate_file(f"mtcnn/assets/weights/{name}.lz4")
    expected = joblib.load(str(path))
    assert len(found) == len(expected) > 10
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_reading_them_imports_no_joblib() -> None:
    program = "import sys; from ferengine.detection import mtcnn_weights as m; m.read_weights('pnet'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert "lz4.frame" in done.stdout.split()
    assert "joblib" not in done.stdout.split()


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path)
    with pytest.raises(ModelError, match=r"rnet\.lz4 .* cannot be read .* install "):
        read_weights("rnet")


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtcnn_weights, "PACKAGE", "no-such-package-here")
    with pytest.raises(MissingDependencyError, match=r" install no-such-package-here==1\.0\.0"):
        read_weights("onet")


def test_made_once_then_read_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mtcnn_networks()
    assert set(made) == {"pnet", "rnet", "onet"}
    assert len(list(cache.iterdir())) == 3
    forbid(monkeypatch, "ferengine.detection.mtcnn_weights.read_weights")
    assert mtcnn_networks() == made


@pytest.mark.parametrize("damage", [b"", b"short", b"0" * 64 + b"other"])
def test_a_damaged_cached_file_is_made_anew(cache: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    made = mtcnn_networks()
    path = cache / "rnet.network"
    good = path.read_bytes()
    path.write_bytes(damage)
    assert mtcnn_networks() == made
    assert path.read_bytes() == good
    assert str(path) in caplog.text


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_cached_file_that_others_may_write_is_not_read(cache: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may write the file may write its hash as well."""
    made = mtcnn_networks()
    path = cache / "pnet.network"
    other = b"another network"
    path.write_bytes(hashlib.sha256(other).hexdigest().encode() + other)
    path.chmod(mode)
    assert mtcnn_networks() == made
    assert f"{path} may be written by other users and is not read" in caplog.text
    assert path.stat().st_mode & 0o022 == 0


def test_a_cached_file_of_another_user_is_not_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = mtcnn_networks()
    owner = (cache / "pnet.network").stat().st_uid
    if owner == 0:  # what root owns anybody may trust
        os.chown(cache / "pnet.network", 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert mtcnn_networks() == made
    assert "belongs to another user and is not read" in caplog.text


def test_a_cached_file_that_is_a_pipe_does_not_wait(cache: Path) -> None:
    made = mtcnn_networks()
    (cache / "pnet.network").unlink()
    os.mkfifo(cache / "pnet.network")
    assert mtcnn_networks() == made


def test_one_changed_byte_is_noticed(cache: Path) -> None:
    made = mtcnn_networks()
    path = cache / "onet.network"
    stored = bytearray(path.read_bytes())
    stored[-1000] ^= 1
    path.write_bytes(stored)
    assert mtcnn_networks() == made


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    networks = mtcnn_networks()
    onnx.load_from_string(networks["pnet"])
    assert blocked.read_text() == "a file where the folder would be"


def test_no_half_file_stays_when_the_disk_is_full(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert set(mtcnn_networks()) == {"pnet", "rnet", "onet"}
    assert list(cache.iterdir()) == []


def test_no_home_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder() is None
    assert mtcnn_networks()["pnet"]


def test_a_relative_cache_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    folder = cache_folder()
    assert folder is not None
    assert folder.is_relative_to(Path.home() / ".cache" / "ferengine")


@pytest.mark.usefixtures("cache")
def test_inputs_and_outputs() -> None:
    shapes = {}
    for name, data in mtcnn_networks().items():
        graph = onnx.load_from_string(data).graph
        for value in (*graph.input, *graph.output):
            dimensions = value.type.tensor_type.shape.dim
            shapes[name, value.name] = tuple(each.dim_param or each.dim_value for each in dimensions)
    assert shapes == {
        ("pnet", "input"): ("n", 3, "height", "width"),
        ("pnet", "boxes"): ("n", 4, "rows", "columns"),
        ("pnet", "probabilities"): ("n", 1, "rows", "columns"),
        ("rnet", "input"): ("n", 3, 24, 24),
        ("rnet", "boxes"): ("n", 4),
        ("rnet", "probabilities"): ("n",),
        ("onet", "input"): ("n", 3, 48, 48),
        ("onet", "boxes"): ("n", 4),
        ("onet", "landmarks"): ("n", 10),
        ("onet", "probabilities"): ("n",),
    }


def test_weights_that_do_not_fit_are_an_error() -> None:
    weights = read_weights("pnet")
    with pytest.raises(ValueError, match="too few"):
        build_network("pnet", weights[:-1])
    with pytest.raises(ValueError, match="1 arrays of weights too many"):
        build_network("pnet", [*weights, np.zeros(1, np.float32)])


def test_neither_the_package_nor_tensorflow_is_imported() -> None:
    script = (
        "import sys; from ferengine.detection.mtcnn import MtcnnDetector; MtcnnDetector(); "
        "sys.exit(any(name in sys.modules for name in ('mtcnn', 'tensorflow', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
