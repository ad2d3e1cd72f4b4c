"""A captured training step does what an eager one does."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine_tools.training.config import TrainConfig  # noqa: E402
from ferengine_tools.training.dataset import Part, TrainingSet  # noqa: E402
from ferengine_tools.training.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.fixture
def faces() -> TrainingSet:
    """Class n is a bright bar at height 6 n."""
    classes = torch.arange(140) % 7
    images = torch.randint(80, 120, (140, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for number, image in zip(classes, images, strict=True):
        image[6 * number + 2 : 6 * number + 8] += 120
    training, validation = torch.arange(112), torch.arange(112, 140)
    labels = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    part = Part("bars", torch.full((7,), 1 / 7), validation)
    return TrainingSet("bars", labels, (7,), images, classes, torch.eye(7)[classes], training, validation, (part,),
                       torch.zeros(140, dtype=torch.int64))  # fmt: skip


def test_captured_training_reaches_the_loss_of_eager_training(faces: TrainingSet, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} finds no CUDA device")
    config = TrainConfig("fast", tmp_path, tmp_path, epochs=8, batch=14, device="cuda")
    captured, eager = Trainer(config, faces), Trainer(config, faces)
    eager._captured = None
    losses = [[trainer.train_epoch().loss for _ in range(8)] for trainer in (captured, eager)]
    assert captured._captured is not None
    assert losses[0][-1] < 0.8 * losses[0][0]
    assert losses[0][-1] == pytest.approx(losses[1][-1], rel=0.25)
