"""The tool that measures trackers, on a sequence whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ferengine.errors import UsageError
from ferengine.results import Box
from ferengine.tracking.base import TrackerUpdate
from ferengine.vision import cv2
from ferengine_tools.tracking_accuracy import FaceSequence, WholeFrameKcf, main, measure, read_sequences


class Still:
    """Answers with the box that it was given."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> TrackerUpdate:
        return TrackerUpdate(self.box, 0.5)


def drifting(frames: int, step: float) -> FaceSequence:
    boxes = np.array([[10 + step * i, 20, 40, 40] for i in range(frames)], float)
    return FaceSequence("drift", [np.zeros((80, 400, 3), np.uint8)] * frames, boxes)


def test_the_measures_are_those_of_the_definition() -> None:
    result = measure(Still, drifting(13, 4.0))
    moved = 4.0 * np.arange(1, 13)
    overlap = np.clip(40 - moved, 0, None) / (40 + np.minimum(moved, 40))
    assert result.frames == 13
    assert result.mean_iou == pytest.approx(overlap.mean())
    assert result.success_auc == pytest.approx(overlap.mean(), abs=0.01)
    assert result.precision_20px == pytest.approx(5 / 12)
    assert result.restarted_iou == pytest.approx(overlap[:5].mean())
    assert result.restarted_found == 1


def write_sequence(folder: Path, frames: int = 14) -> None:
    """A textured patch that moves 3 px a frame."""
    (folder / "frames").mkdir(parents=True)
    patch = cv2.resize(np.random.default_rng(1).integers(0, 256, (6, 6, 3), np.uint8), (40, 40))
    lines = []
    for index in range(frames):
        frame = np.full((120, 160, 3), 90, np.uint8)
        frame[40:80, 20 + 3 * index : 60 + 3 * index] = patch
        cv2.imwrite(str(folder / "frames" / f"{index + 1:04}.jpg"), frame)
        lines.append(f"{20 + 3 * index},40,40,40")
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")


def test_the_command_reports_each_sequence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequence(tmp_path / "walk")
    assert main([str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tracker"] == "kcf"
    assert report["sequences"][0]["sequence"] == "walk"
    assert report["sequences"][0]["restarted_iou"] > 0.85
    assert report["update_ms"].keys() == {"40", "80", "160", "320"}
    assert main([str(tmp_path)]) == 0
    assert "walk" in capsys.readouterr().out


def test_shrunken_window_is_more_accurate_than_the_whole_frame(tmp_path: Path) -> None:
    from ferengine.tracking.opencv_kcf import OpenCvKcf

    write_sequence(tmp_path / "walk")
    (sequence,) = read_sequences(tmp_path)
    ours, plain = measure(OpenCvKcf, sequence), measure(WholeFrameKcf, sequence)
    assert ours.restarted_iou > plain.restarted_iou + 0.05


def test_the_native_tracker_follows_it_closely(tmp_path: Path) -> None:
    from ferengine.tracking import KcfTracker

    write_sequence(tmp_path / "walk")
    (sequence,) = read_sequences(tmp_path)
    ours = measure(KcfTracker, sequence)
    assert ours.restarted_iou > 0.9
    assert ours.mean_iou > 0.85


def test_a_folder_without_sequences_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no sequence" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["1,2,3\n", "1,2,3,x\n", "1,2,3,4\n"])
def test_inconsistent_ground_truth_is_named(tmp_path: Path, damage: str) -> None:
    write_sequence(tmp_path / "walk", 3)
    (tmp_path / "walk" / "groundtruth.txt").write_text(damage)
    with pytest.raises(UsageError, match="walk"):
        read_sequences(tmp_path)


def test_a_image_that_is_none_is_named(tmp_path: Path) -> None:
    write_sequence(tmp_path / "walk", 3)
    (tmp_path / "walk" / "frames" / "0002.jpg").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"0002\.jpg"):
        read_sequences(tmp_path)
