"""Writes what other implementations of MTCNN find on two portraits, as the truth of test_mtcnn_exactness.py.

    make_mtcnn_reference.py mtcnn REFERENCE.json
    make_mtcnn_reference.py facenet-pytorch REFERENCE.json

Each call adds one implementation to the file. Run them in throw-away environments (see ``RECIPES``, which the file
repeats): neither TensorFlow nor facenet-pytorch is a dependency of this project.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import sys
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PORTRAITS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
SETTINGS = {"min_face": 20, "thresholds": [0.6, 0.7, 0.8], "factor": 0.709}
"""The ``mtcnn`` package's own defaults."""

PROBES = {"pnet": (2, 3, 15, 18), "rnet": (2, 3, 24, 24), "onet": (2, 3, 48, 48)}

RECIPES = {
    "mtcnn": "pip install tensorflow-cpu mtcnn==1.0.0 scikit-image matplotlib && python make_mtcnn_reference.py mtcnn FILE",
    "facenet-pytorch": "pip install torch requests tqdm scikit-image matplotlib && "
    "pip install --no-deps facenet-pytorch==2.6.0 && python make_mtcnn_reference.py facenet-pytorch FILE",
}
PACKAGES = {
    "mtcnn": ("mtcnn", "tensorflow-cpu", "keras", "numpy", "pillow"),
    "facenet-pytorch": ("facenet-pytorch", "torch", "numpy", "pillow"),
}


def portrait(package: str, file: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / file


def run_mtcnn(image: np.ndarray) -> list[dict[str, Any]]:
    from mtcnn import MTCNN

    p, r, o = SETTINGS["thresholds"]
    rows = MTCNN().detect_faces(
        image,
        fit_to_image=False,
        box_format="xywh",
        output_type="numpy",
        min_face_size=SETTINGS["min_face"],
        scale_factor=SETTINGS["factor"],
        threshold_pnet=p,
        threshold_rnet=r,
        threshold_onet=o,
    )
    return [{"box": row[1:5], "score": row[5], "landmarks": np.stack([row[6:11], row[11:16]], axis=1)} for row in rows]


def stand_in_for_torchvision() -> None:
    """facenet-pytorch needs torchvision (whose version must fit torch's exactly) for one function: greedy NMS."""
    import torch

    def batched_nms(boxes: torch.Tensor, scores: torch.Tensor, _: torch.Tensor, threshold: float) -> torch.Tensor:
        order, kept = scores.argsort(descending=True), []
        while len(order):
            best, order = order[0], order[1:]
            kept.append(best)
            low = torch.maximum(boxes[best, :2], boxes[order, :2])
            high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
            shared = (high - low).clamp(min=0).prod(dim=1)
            areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
            order = order[shared / (areas[best] + areas[order] - shared) <= threshold]
        return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)

    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops")
    for name in (*names, "torchvision.ops.boxes"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision.transforms"].functional = sys.modules["torchvision.transforms.functional"]
    sys.modules["torchvision.ops.boxes"].batched_nms = batched_nms


def run_facenet(image: np.ndarray) -> list[dict[str, Any]]:
    stand_in_for_torchvision()
    from facenet_pytorch import MTCNN

    detector = MTCNN(
        keep_all=True,
        min_face_size=SETTINGS["min_face"],
        thresholds=SETTINGS["thresholds"],
        factor=SETTINGS["factor"],
    )
    boxes, scores, landmarks = detector.detect(Image.fromarray(image), landmarks=True)
    return [
        {"box": [*box[:2], *(box[2:] - box[:2])], "score": score, "landmarks": points}
        for box, score, points in zip(boxes, scores, landmarks, strict=True)
    ]


def probe(network: str) -> np.ndarray:
    """An input that any machine makes alike, float32 (2, 3, H, W)."""
    shape = PROBES[network]
    return np.sin(0.7 * np.arange(math.prod(shape), dtype=np.float64)).astype(np.float32).reshape(shape)


def facenet_networks() -> dict[str, Any]:
    """What facenet-pytorch's networks answer to the probes: the weights are the same, converted on another way."""
    import torch
    from facenet_pytorch import MTCNN

    detector = MTCNN()
    answers: dict[str, Any] = {}
    for name in PROBES:
        with torch.no_grad():
            *regressed, classes = getattr(detector, name)(torch.from_numpy(probe(name)))
        outputs = dict(zip(("boxes", "landmarks"), regressed, strict=False))
        outputs["probabilities"] = classes[:, 1:] if classes.ndim == 4 else classes[:, 1]
        answers[name] = {key: np.round(value.numpy().astype(float), 6).tolist() for key, value in outputs.items()}
    return answers


def plain(face: dict[str, Any]) -> dict[str, Any]:
    return {key: np.round(np.asarray(value, float), 4).tolist() for key, value in face.items()}


def main(implementation: str, target: Path) -> None:
    run = {"mtcnn": run_mtcnn, "facenet-pytorch": run_facenet}[implementation]
    portraits = {}
    for name, place in PORTRAITS.items():
        path = portrait(*place)
        image = np.asarray(Image.open(path).convert("RGB"))
        portraits[name] = {
            "package": place[0],
            "file": place[1],
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "shape": list(image.shape),
            "faces": [plain(face) for face in run(image)],
        }
    networks = facenet_networks() if implementation == "facenet-pytorch" else None
    reference = json.loads(target.read_text()) if target.exists() else {}
    reference[implementation] = {
        "recipe": RECIPES[implementation],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES[implementation]},
        "settings": SETTINGS,
        "layout": "box: x, y, w, h as regressed, not clipped; landmarks: x, y of Detections' five points",
        "portraits": portraits,
        **({"networks": networks} if networks else {}),
    }
    target.write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
