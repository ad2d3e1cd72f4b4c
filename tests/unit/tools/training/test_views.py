"""Views of the training faces that are made once, with their teachers' answers, and the step that is captured."""

from __future__ import annotations

import errno
import json
import os
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from command_help import command  # noqa: E402
from ferengine.errors import FerengineError, UsageError  # noqa: E402
from ferengine_tools.training.captured import CapturedStep  # noqa: E402
from ferengine_tools.training.checkpoint import load_checkpoint  # noqa: E402
from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.dataset import load_training_set, normalise  # noqa: E402
from ferengine_tools.training.run import train  # noqa: E402
from ferengine_tools.training.teachers import Teachers  # noqa: E402
from ferengine_tools.training.trainer import Trainer  # noqa: E402
from ferengine_tools.training.views import load_views, write_views  # noqa: E402


def brightness(batch: Any, rows: Any) -> Any:
    """A teacher whose answer to a crop can be told from its intensities: more of the last class the brighter its left half."""
    score = torch.sigmoid(batch[..., :24].mean((1, 2, 3)))
    return torch.stack([1 - score, *([torch.zeros_like(score)] * 5), score], 1)


def test_each_view_is_kept_with_the_mean_answer_to_it_and_to_its_mirror_image(config: TrainConfig, tmp_path: Path) -> None:
    faces = load_training_set(config)
    write_views(tmp_path / "views", faces, brightness, 3, 7, ("a",))
    views = load_views(tmp_path / "views", faces)
    assert views.images.shape == (3, len(faces.training), 48, 48)
    assert not torch.equal(views.images[0], views.images[1])
    crops, answers = views.take(torch.tensor([2, 0]), torch.tensor([1, 4]))
    torch.testing.assert_close(crops, normalise(torch.stack([views.images[2, 1], views.images[0, 4]])))
    expected = (brightness(crops, None) + brightness(crops.flip(3), None)) / 2
    torch.testing.assert_close(answers, expected, atol=1e-3, rtol=0)
    write_views(tmp_path / "again", faces, brightness, 4, 7, ("a",))
    more = load_views(tmp_path / "again", faces)
    assert torch.equal(more.images[:3], views.images)  # a view depends on its own seed alone


def test_views_of_other_faces_are_refused(config: TrainConfig, tmp_path: Path) -> None:
    faces = load_training_set(config)
    write_views(tmp_path, faces, brightness, 1, 0, ())
    with pytest.raises(UsageError, match="made for other faces"):
        load_views(tmp_path, replace(faces, training=faces.training[1:]))
    record = json.loads((tmp_path / "views.json").read_text())
    (tmp_path / "views.json").write_text(json.dumps({**record, "faces": "0" * 64}))
    with pytest.raises(UsageError, match="made for other faces"):
        load_views(tmp_path, faces)
    (tmp_path / "views.json").write_text("{}")
    with pytest.raises(UsageError, match="does not hold the views"):
        load_views(tmp_path, faces)
    with pytest.raises(UsageError, match="at least 1 view"):
        write_views(tmp_path, faces, brightness, 0, 0, ())


def test_the_room_on_the_disk_is_taken_before_the_teachers_are_asked(config: TrainConfig, tmp_path: Path) -> None:
    """A write to a mapped file for which the disk has no room would end the process."""
    rooms: list[dict[str, bool]] = []

    def teach(batch: Any, rows: Any) -> Any:
        held = {path.name: path.stat() for path in tmp_path.glob("*.part")}
        rooms.append({name: 512 * each.st_blocks >= each.st_size for name, each in held.items()})
        return brightness(batch, rows)

    write_views(tmp_path, load_training_set(config), teach, 3, 0, ())
    assert rooms[0] == {"images.npy.part": True, "answers.npy.part": True}


def test_a_disk_without_room_for_the_views_is_named(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(FerengineError, match="cannot be written: No space left on device: make room, or choose another"):
        write_views(tmp_path, load_training_set(config), lambda *_: pytest.fail("a teacher was asked"), 3, 0, ())
    assert list(tmp_path.iterdir()) == []


def test_a_record_never_stands_beside_other_views(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a second run into the folder ends between its views and their record."""
    faces = load_training_set(config)
    write_views(tmp_path, faces, brightness, 1, 0, ())
    monkeypatch.setattr("ferengine_tools.training.views.json_text", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_views(tmp_path, faces, brightness, 1, 1, ())
    with pytest.raises(UsageError, match="does not hold the views"):
        load_views(tmp_path, faces)


def test_a_student_learns_from_views_as_from_the_teachers_themselves(config: TrainConfig, tmp_path: Path) -> None:
    arguments = ["--data", str(config.data), "--out", str(tmp_path / "views"), "--views", "2", "--distil", "standard"]
    command("teach")(arguments)
    given = replace(config, out=tmp_path / "run", views_from=tmp_path / "views", teacher_weight=0.75, views=2, consistency=1.0)
    trainer = Trainer(given)
    chosen = trainer.faces.training[:12]
    batch, target = trainer._batch(chosen)
    teachers = Teachers(("standard",), trainer.faces, torch.device("cpu"), "uniform", bf16=False)
    answers = (teachers(batch, chosen) + teachers(batch.flip(3), chosen)) / 2
    torch.testing.assert_close(target, torch.lerp(trainer._targets[chosen], answers, 0.75), atol=2e-3, rtol=0)
    train(replace(given, out=tmp_path / "whole"))
    assert load_checkpoint(tmp_path / "whole" / "checkpoint.safetensors")["epoch"] == given.epochs
    assert "--views-from views" in given.command()
    with pytest.raises(UsageError, match="leave out --distil"):
        replace(given, distil=("standard",))


def test_teach_takes_networks_or_views(tmp_path: Path, bars: Path) -> None:
    main = command("teach")
    with pytest.raises(UsageError, match="--folds and --epochs are for --model"):
        main(["--data", str(bars), "--out", str(tmp_path), "--views", "2", "--distil", "standard", "--epochs", "30"])
    for words in ([], ["--views", "2"], ["--model", "fast", "--views", "2"], ["--distil", "standard"]):
        with pytest.raises(UsageError, match="either --model, or --views"):
            main(["--data", str(bars), "--out", str(tmp_path), *words])
    with pytest.raises(UsageError, match="one set of --data"):
        main(["--data", str(bars), "--data", str(bars), "--out", str(tmp_path), "--model", "fast"])


class _Graph:
    """What a CUDA graph does: replaying repeats the recorded step on the same memory."""

    recorded: Any = None

    def __init__(self) -> None:
        self.replays, self.generators = 0, []

    def register_generator_state(self, generator: Any) -> None:
        self.generators.append(generator)

    def replay(self) -> None:
        self.replays += 1
        _Graph.recorded()


class _Stream:
    def wait_stream(self, other: Any) -> None:
        pass


def test_a_step_is_captured_after_the_first_and_then_replayed_on_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU: the device's calls are replaced, the order of ours is what is tested. tests/gpu has the real thing."""
    rows_seen: list[Any] = []
    weight, result, graphs = torch.zeros(()), torch.zeros(()), []

    def step(rows: Any) -> tuple[Any]:
        rows_seen.append(rows)
        weight.add_(rows.sum())
        result.copy_(weight)
        return (result,)

    @contextmanager
    def graph(made: Any, stream: Any) -> Any:
        before, kept = weight.clone(), len(rows_seen)
        yield
        weight.copy_(before)  # a capture runs nothing
        rows = rows_seen[kept]
        _Graph.recorded = lambda: step(rows)
        graphs.append(made)

    for name, fake in (("Stream", _Stream), ("CUDAGraph", _Graph), ("graph", graph), ("stream", lambda stream: nullcontext())):
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "current_stream", _Stream)
    generator = torch.Generator()
    captured = CapturedStep(step, generator)
    totals = [float(captured(torch.tensor([k, 1]))[0]) for k in range(1, 8)]
    assert totals == list(np.cumsum([k + 1.0 for k in range(1, 8)]))
    assert len(graphs) == 1
    assert graphs[0].replays == 4  # of 7 steps, 3 ran before the capture
    assert graphs[0].generators == [generator]
