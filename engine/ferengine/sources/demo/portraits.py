"""The two portraits of the demo, cut out around head and shoulders.

The images come with scikit-image and matplotlib, and are found without importing either.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import MissingDependencyError
from ferengine.pip_hint import install_extra
from ferengine.results import Box, Landmarks
from ferengine.vision import cv2


@dataclass(frozen=True, slots=True)
class Portrait:
    """One image and where its face is, in pixels of that image.

    Attributes:
        package: The package that ships the image.
        file: Its path in the package.
        box: The face box that MTCNN finds on the still image.
        landmarks: The landmarks that MTCNN finds on it.
        outline: A closed polygon around head and shoulders.
    """

    package: str
    file: str
    box: Box
    landmarks: Landmarks
    outline: tuple[tuple[int, int], ...]

    @property
    def center(self) -> tuple[float, float]:
        """The centre of the face box, x and y."""
        x, y, w, h = self.box
        return x + w / 2, y + h / 2

    @property
    def path(self) -> Path | None:
        """Where its image lies; None where the package that ships it is not installed."""
        spec = find_spec(self.package)
        return Path(spec.origin).parent / self.file if spec and spec.origin else None

    def load(self) -> NDArray[np.uint8]:
        """Read the whole image, BGR uint8 (H, W, 3).

        Raises:
            MissingDependencyError: If the package that ships it is not installed.
        """
        path = self.path
        image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path and path.is_file() else None
        if image is None:
            raise MissingDependencyError(
                f"the demo needs the image {Path(self.file).name} of {self.package}: {install_extra('demo')}"
            )
        return np.asarray(image, np.uint8)


ASTRONAUT = Portrait(
    package="skimage",
    file="data/astronaut.png",
    box=(180.3, 60.7, 88.1, 111.5),
    landmarks=((205.4, 101.5), (246.9, 103.1), (225.1, 129.2), (201.2, 139.6), (245.1, 141.1)),
    outline=(
        (228, 17), (247, 19), (277, 33), (288, 43), (295, 56), (299, 73), (299, 92), (291, 114), (278, 128),
        (265, 140), (262, 150), (256, 161), (254, 171), (266, 181), (290, 203), (302, 227), (306, 239), (322,
        243), (340, 259), (353, 291), (360, 330), (366, 400), (22, 400), (30, 345), (38, 300), (46, 277), (69,
        243), (93, 226), (112, 205), (120, 203), (121, 188), (130, 170), (140, 160), (158, 151), (180, 149),
        (184, 144), (182, 134), (172, 122), (160, 106), (156, 97), (154, 68), (157, 59), (163, 52), (187, 37),
        (202, 23), ), )  # fmt: skip

HOPPER = Portrait(
    package="matplotlib",
    file="mpl-data/sample_data/grace_hopper.jpg",
    box=(163.7, 105.8, 183.9, 238.2),
    landmarks=((220.3, 189.9), (308.5, 187.1), (269.2, 238.9), (230.4, 282.6), (306.8, 279.6)),
    outline=(
        (249, 24), (270, 25), (281, 28), (300, 41), (319, 46), (336, 58), (346, 69), (352, 83), (357, 88),
        (365, 92), (369, 104), (370, 129), (370, 150), (367, 180), (373, 188), (374, 197), (368, 211), (368,
        224), (360, 256), (348, 272), (345, 286), (337, 308), (334, 319), (341, 325), (404, 360), (466, 380),
        (492, 397), (510, 443), (511, 599), (12, 599), (18, 526), (28, 459), (27, 422), (40, 408), (48, 390),
        (54, 383), (93, 367), (118, 361), (150, 352), (192, 338), (203, 318), (195, 297), (188, 293), (177,
        288), (169, 278), (170, 262), (162, 246), (156, 222), (153, 200), (158, 186), (149, 182), (148, 150),
        (147, 106), (150, 103), (157, 101), (175, 83), (178, 71), (183, 64), (197, 51), (209, 45), (220, 32),
        (238, 26), ), )  # fmt: skip

PORTRAITS = (ASTRONAUT, HOPPER)


def is_installed(portrait: Portrait) -> bool:
    """Whether its image can be had."""
    return portrait.path is not None and portrait.path.is_file()


def require_portraits() -> None:
    """Make sure that the demo shows its portraits, not drawn faces: for measurements that are compared.

    Raises:
        MissingDependencyError: One of them is not installed.
    """
    for portrait in PORTRAITS:
        portrait.load()


_BLUR = 0.035
"""Standard deviation of the body's blur, in face heights."""


class CutOut:
    """A face with head and shoulders, ready to be warped onto a frame.

    Args:
        color: BGRA uint8 (H, W, 4), premultiplied.
        center: x, y of the middle of the face in it.
        face_height: The height of the face in it, pixels.
    """

    def __init__(self, color: NDArray[np.uint8], center: tuple[float, float], face_height: float) -> None:
        self._color = color
        self._center = center
        self._face_height = face_height

    def paint(self, frame: NDArray[np.uint8], x: float, y: float, face_height: float, angle: float) -> None:
        """Paint it onto ``frame``, in place: its centre at (x, y), rotated by ``angle`` degrees clockwise."""
        zoom = face_height / self._face_height
        matrix = np.asarray(cv2.getRotationMatrix2D(self._center, -angle, zoom), np.float64)
        matrix[:, 2] += np.array([x, y]) - self._center
        rows, columns = self._color.shape[:2]
        corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]]) @ matrix.T
        left, top = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
        right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, (frame.shape[1], frame.shape[0]))
        if right <= left or bottom <= top:
            return
        matrix[:, 2] -= left, top
        patch = cv2.warpAffine(self._color, matrix, (int(right - left), int(bottom - top)), flags=cv2.INTER_LINEAR)
        cover = cv2.cvtColor(cv2.bitwise_not(patch[..., 3]), cv2.COLOR_GRAY2BGR)
        region = frame[top:bottom, left:right]
        region[:] = cv2.add(cv2.multiply(region, cover, scale=1 / 255), cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR))


class Sprite(CutOut):
    """A portrait's cut-out at the maximum size that it is shown at.

    Args:
        portrait: The portrait.
        face_height: That size, pixels.
        bust: How far below the chin the image has faded out, in face heights.
    """

    def __init__(self, portrait: Portrait, face_height: float, bust: float) -> None:
        image = _cut_out(portrait, bust)
        rows, columns = np.flatnonzero(image[..., 3].any(1)), np.flatnonzero(image[..., 3].any(0))
        image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = image.shape[:2]
        scale = face_height / portrait.box[3]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(image, size, interpolation=method)
        center_x, center_y = portrait.center
        center = (center_x - columns[0]) * size[0] / width, (center_y - rows[0]) * size[1] / height
        super().__init__(np.clip(resized, 0, 255).round().astype(np.uint8), center, face_height)


def _cut_out(portrait: Portrait, bust: float) -> NDArray[np.float32]:
    """The portrait as BGRA, premultiplied, in [0, 255]: sharp face, body out of focus, fading below the chin.

    Sharp folds and badges on the clothes would sometimes be detected as a small face.
    """
    image = portrait.load().astype(np.float32)
    rows, columns = image.shape[:2]
    x, y, w, h = portrait.box
    mask = np.zeros((rows, columns, 1), np.uint8)
    cv2.fillPoly(mask, [np.array(portrait.outline, np.int32)], (255,))
    inside = mask.astype(np.float32) / 255
    edge = cv2.GaussianBlur(inside, (0, 0), 0.012 * h)
    alpha = np.clip(2 * edge - 1, 0, 1)[..., None]  # soft, yet inside the outline: no fringe

    # Weighted by the mask, so that the image's own background does not bleed into the blurred body.
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), _BLUR * h), 1e-3)[..., None]
    soft = cv2.GaussianBlur(image * inside, (0, 0), _BLUR * h) / weight
    below_chin = np.maximum(np.arange(rows, dtype=np.float32) - (y + h), 0)[:, None]
    image += _smoothstep(below_chin / (0.35 * h))[..., None] * (soft - image)

    reach = min(bust * h, 0.92 * (rows - (y + h)))
    aside = (np.arange(columns, dtype=np.float32) - (x + w / 2)) / (1.8 * w)
    distance = np.hypot(below_chin / reach, aside * (below_chin > 0))
    alpha = alpha * _smoothstep((1 - distance) / 0.35)[..., None]
    return np.concatenate([image * alpha, 255 * alpha], 2)


def _smoothstep(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """3t^2 - 2t^3, t being ``values`` clipped to [0, 1]."""
    t = np.clip(values, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
