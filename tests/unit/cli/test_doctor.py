"""``ferengine doctor``: each check passes here, and fails when what it looks at is broken."""

from __future__ import annotations

import json
import resource
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ferengine import detection
from ferengine.cli.app import app
from ferengine.cli.checks import environment, machine, pipeline, registry, stages
from ferengine.cli.checks.base import Finding
from ferengine.detection.base import Detections
from ferengine.errors import MissingDependencyError
from ferengine.inference import precision as quantised
from ferengine.inference import select as choose
from ferengine.ipc import machine as ipc_machine
from ferengine.models.registry import DEFAULT
from ferengine.pip_hint import install_extra, pip_install, pip_replace
from ferengine.sources import v4l2
from ferengine.sources.v4l2 import CameraDevice
from ferengine.tracking import cropper

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", [name for name in registry.CHECKS if name != "engine"])
def test_nothing_fails_here(name: str) -> None:
    finding = registry.examine(registry.CHECKS[name])
    if finding is None:
        pytest.skip(f"this machine has nothing to check for {name}")
    assert finding.status != "fail", finding
    assert finding.reason
    assert (finding.status == "ok") == (finding.hint == "")


def test_the_whole_engine_is_run() -> None:
    finding = pipeline.check_pipeline()
    assert finding.status == "ok", finding
    assert "12 frames through all workers" in finding.reason


@pytest.mark.parametrize(
    ("name", "faster", "form", "reason"),
    [
        ("tensorrt", True, "", "RTX 4090, with tensorrt 11.0 and cuda-bindings"),
        ("ort", True, "-int8", "the driver sees no GPU"),
        ("ort", False, "", "the driver sees no GPU"),
    ],
)
def test_the_backend_is_the_one_that_a_run_would_take(
    name: str, faster: bool, form: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def chosen(backend: str) -> tuple[str, str]:
        asked.append(backend)
        return name, reason

    monkeypatch.setattr(choose, "choose_backend", chosen)
    monkeypatch.setattr(quantised, "int8_is_faster", lambda: faster)
    finding = stages.check_backend()
    assert set(asked) == {"auto"}
    assert finding.status == "ok"
    assert finding.reason.startswith(f"--backend auto takes {name}, for {DEFAULT}{form}: {reason} (ONNX Runtime ")


def test_what_a_check_raises_is_its_failure() -> None:
    def missing() -> Finding:
        raise MissingDependencyError("OpenCV cannot load libGL.so.1: install it")

    def defect() -> Finding:
        return Finding("ok", str(1 / 0))

    assert registry.examine(lambda: None) is None
    assert registry.examine(missing) == Finding("fail", "OpenCV cannot load libGL.so.1: install it", "follow the message")
    found = registry.examine(defect)
    assert found is not None
    assert "ZeroDivisionError" in found.reason


def test_a_full_disk_is_no_defect_of_a_check() -> None:
    def full() -> Finding:
        raise OSError(28, "No space left on device", "/tmp/x")

    found = registry.examine(full)
    assert found is not None
    assert (found.status, found.hint) == ("fail", "follow the message")
    assert "free space on the disk" in found.reason


def test_a_machine_without_a_folder_for_temporary_files_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    found = pipeline.check_pipeline()
    assert found.status == "warn"
    assert "No usable temporary directory" in found.reason
    assert "TMPDIR" in found.hint


@pytest.fixture
def few_checks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def choose(**checks: Finding | None) -> None:
        monkeypatch.setattr(registry, "CHECKS", {name: lambda finding=finding: finding for name, finding in checks.items()})

    return choose


def test_exit_codes_and_words(few_checks: Callable[..., None]) -> None:
    few_checks(crop=Finding("ok", "right"), gpu=None, cameras=Finding("warn", "no camera", "plug one in"))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "ok   crop: right",
        "warn cameras: no camera",
        "     -> plug one in",
        "ferengine run works here",
    ]
    few_checks(crop=Finding("fail", "[wrong]", "build it again"), kernel=Finding("ok", "Linux"))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert done.output.splitlines()[0] == "fail crop: [wrong]"
    assert done.output.splitlines()[-1] == "ferengine run cannot work: crop"


def test_json(few_checks: Callable[..., None]) -> None:
    few_checks(crop=Finding("fail", "wrong", "build it again"), torch=None, kernel=Finding("ok", "Linux"))
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    report = json.loads(done.output)
    assert report["ok"] is False
    assert report["checks"][0] == {"name": "crop", "status": "fail", "reason": "wrong", "hint": "build it again"}
    assert [check["name"] for check in report["checks"]] == ["crop", "kernel"]
    assert {"ferengine", "python", "numpy", "onnxruntime"} <= set(report["versions"])


# Faults that the checks must find


class WrongDetector:
    def __init__(self, count: int, shift: float = 0.0, eyes: float = 0.0) -> None:
        right = detection.create_detector("mtcnn").detect
        self.count, self.shift, self.eyes, self.right = count, shift, eyes, right

    def detect(self, frame: np.ndarray) -> Detections:
        found = self.right(frame)
        assert found.landmarks is not None
        boxes, landmarks = found.boxes + np.float32([self.shift, 0, 0, 0]), found.landmarks + np.float32(self.eyes)
        return Detections(*(np.repeat(part, self.count, 0) for part in (boxes, found.scores, landmarks)))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"count": 0}, "finds 0 faces"),
        ({"count": 2}, "finds 2 faces"),
        ({"count": 1, "shift": 40.0}, "elsewhere"),
        ({"count": 1, "eyes": 20.0}, "eyes"),
    ],
)
def test_a_wrong_detector_is_found(fault: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = WrongDetector(**fault)
    monkeypatch.setattr(detection, "create_detector", lambda name: wrong)
    assert stages.check_mtcnn().status == "fail"
    assert expected in stages.check_mtcnn().reason
    assert stages.check_haar().status == "warn"  # a run does without Haar


def test_a_wrong_crop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cropper.FaceCropper.crop
    monkeypatch.setattr(cropper.FaceCropper, "crop", lambda *arguments: right(*arguments) + np.uint8(1))
    finding = stages.check_crop()
    assert finding.status == "fail"
    assert "of 255 off" in finding.reason


def test_limits_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 20, 1 << 20) if kind == resource.RLIMIT_FSIZE else (70, 70))
    assert machine.check_shared_memory().hint == "ulimit -f unlimited"
    assert machine.check_open_files().status == "fail"
    monkeypatch.setattr(ipc_machine, "_PROC", tmp_path)
    monkeypatch.setattr(ipc_machine, "_CGROUPS", tmp_path)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/\n")
    (tmp_path / "meminfo").write_text("MemTotal: 4096000 kB\nMemAvailable: 2048000 kB\n")
    (tmp_path / "memory.max").write_text(f"{600 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{100 << 20}\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert machine.check_memory().reason == "500 MiB are available of the container's memory limit of 600 MiB"
    assert machine.check_memory().status == "warn"
    assert "0.5 by the container's quota" in machine.check_processors().reason
    assert machine.check_processors().status == "warn"
    for name in ("memory.max", "cpu.max"):
        (tmp_path / name).write_text("max 100000\n" if name == "cpu.max" else "max\n")
    assert "container" not in machine.check_memory().reason + machine.check_processors().reason


ADMITTED = {package: bounds.split(",")[0].lstrip(">=") for package, bounds in machine.PACKAGES.items()}
"""The oldest versions."""


def test_the_versions_that_pyproject_admits_are_those_that_are_checked() -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert sorted(package + bounds for package, bounds in machine.PACKAGES.items()) == sorted(requirements)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "installed", {**ADMITTED, "av": None}.get)
    finding = machine.check_versions()
    assert (finding.status, finding.hint) == ("warn", pip_install("av>=17.1,<20"))
    assert finding.reason.endswith("; not installed: av")


def test_packages_that_are_too_old_or_too_new_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    present = {**ADMITTED, "opencv-contrib-python": None, "opencv-python-headless": "4.10.0.84", "av": "20.0.0"}
    monkeypatch.setattr(machine, "installed", present.get)
    finding = machine.check_versions()
    assert (finding.status, finding.hint) == ("warn", pip_install("opencv-python-headless>=4.13,<5", "av>=17.1,<20"))
    assert finding.reason.endswith(
        "; not supported: opencv-python-headless 4.10.0.84 (needed: >=4.13,<5), av 20.0.0 (needed: >=17.1,<20)"
    )


@pytest.mark.parametrize(
    ("number", "bounds", "admitted"),
    [
        ("4.13.0.90", ">=4.13,<5", True),
        ("4.12.0.88", ">=4.13,<5", False),
        ("4.9.0", ">=4.13,<5", False),
        ("5.0.0", ">=4.13,<5", False),
        ("2.0.0rc1", ">=2", True),
        ("2", ">=2.0.0", True),
        ("1.22.1+cu12", ">=1.22.1", True),
        ("1.22.0", ">=1.22.1", False),
        ("1.0", "==1.0.0", True),
        ("1.0.1", "==1.0.0", False),
        ("unknown", ">=2", False),
    ],
)
def test_versions_are_compared_by_their_numbers(number: str, bounds: str, admitted: bool) -> None:
    assert machine.is_admitted(number, bounds) is admitted


@pytest.mark.parametrize(
    ("cameras", "status", "expected"),
    [
        ([], "warn", "no camera"),
        ([CameraDevice("/dev/video0", unavailable_reason="no permission")], "warn", "no permission"),
        ([CameraDevice("/dev/video0", "Webcam"), CameraDevice("/dev/video1", unavailable_reason="busy")], "ok", "Webcam"),
    ],
)
def test_cameras(cameras: list[CameraDevice], status: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "list_cameras", lambda: cameras)
    finding = environment.check_cameras()
    assert finding.status == status
    assert expected in finding.reason


def test_a_demo_without_portraits_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.check_demo() == Finding("ok", "the demo shows two portraits")
    monkeypatch.setattr("ferengine.sources.demo.portraits.find_spec", lambda _name: None)
    finding = environment.check_demo()
    assert (finding.status, finding.hint) == ("ok", "")
    assert finding.reason == f"the demo shows drawn faces ({install_extra('demo')} for photographs of two people)"


@pytest.mark.parametrize(
    ("present", "status", "hint"),
    [
        ({"onnxruntime", "opencv-contrib-python"}, "ok", ""),
        ({"onnxruntime-gpu", "opencv-contrib-python-headless"}, "ok", ""),
        (
            {"onnxruntime", "onnxruntime-gpu"},
            "warn",
            "keep one: " + pip_replace("onnxruntime onnxruntime-gpu", "onnxruntime-gpu>=1.22.1"),
        ),
        (
            {"opencv-contrib-python", "opencv-python", "onnxruntime"},
            "warn",
            "keep one: " + pip_replace("opencv-contrib-python opencv-python", "opencv-contrib-python>=4.13,<5"),
        ),
    ],
)
def test_packages_that_overwrite_each_other(present: set[str], status: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "installed", lambda name: "1.0" if name in present else None)
    finding = machine.check_collisions()
    assert (finding.status, finding.hint) == (status, hint)


def test_what_replaces_a_package_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    instead = {"onnxruntime-gpu": "1.24.0", "opencv-python-headless": "4.14.0.94"}
    gone = {"onnxruntime": None, "opencv-contrib-python": None}
    monkeypatch.setattr(machine, "installed", {**ADMITTED, **gone, **instead}.get)
    finding = machine.check_versions()
    assert finding.status == "ok"
    assert "onnxruntime-gpu 1.24.0" in finding.reason
    assert "opencv-python-headless 4.14.0.94" in finding.reason
