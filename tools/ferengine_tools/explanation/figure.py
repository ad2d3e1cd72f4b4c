"""The image of an explanation: the photograph with its faces, and a row of overlays for each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ferengine.vision import cv2
from ferengine_tools.evaluation.figure import new_figure, save_figure
from ferengine_tools.explanation.attribution import Attribution
from ferengine_tools.explanation.faces import ImageFaces

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

TITLES = ("the face as read", "Grad-CAM", "guided back-propagation", "guided Grad-CAM")
_LARGEST = 0.6
"""Opacity of the heat map at its largest value."""


def draw_explanation(path: Path, faces: ImageFaces, attribution: Attribution, titles: list[str]) -> None:
    """Draw the photograph with its faces, and a row of overlays for each face.

    Args:
        path: The image to write.
        faces: The N faces.
        attribution: What the network looked at.
        titles: The N names of the faces.

    Raises:
        MissingDependencyError: matplotlib is missing.
        SinkError: The file cannot be written.
    """
    width, rows = 8.6, 0.3 + 2.2 * len(faces.crops)
    top = 0.0
    if faces.image is not None:
        height, across = faces.image.shape[:2]
        top = min(6.5, width * height / across)
    figure = new_figure(width, top + rows)
    parts = figure.add_gridspec(2, 1, height_ratios=[top, rows]) if top else figure.add_gridspec(1, 1)
    if top:
        _photograph(figure.add_subfigure(parts[0]), faces, attribution)
    _rows(figure.add_subfigure(parts[-1]), faces, attribution, titles)
    save_figure(figure, path)


def heat(crop: NDArray[np.uint8], cam: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a map (S, S) in [0, 1] over a grayscale crop uint8 (S, S): RGB uint8 (S, S, 3)."""
    return blend(np.repeat(crop[..., None], 3, axis=2), cam)


def blend(image: NDArray[np.uint8], cam: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a map (H, W) in [0, 1] over an RGB image uint8 (H, W, 3): the larger its value the more opaque."""
    colours = cv2.applyColorMap((255 * cam).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    opacity = (_LARGEST * np.sqrt(cam))[..., None]
    return np.asarray((1 - opacity) * image + opacity * colours + 0.5, np.uint8)


def on_photograph(faces: ImageFaces, cam: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the maps (N, S, S) laid back onto the photograph, RGB uint8 (H, W, 3)."""
    assert faces.image is not None
    height, width = faces.image.shape[:2]
    whole = np.zeros((height, width), np.float32)
    for (cx, cy, side, angle), each in zip(faces.squares.tolist(), cam, strict=True):
        scale = side / each.shape[0]
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        middle = (each.shape[0] - 1) / 2  # of pixel centres
        there = np.array(
            [
                [cosine, -sine, cx - 0.5 - cosine * middle + sine * middle],
                [sine, cosine, cy - 0.5 - sine * middle - cosine * middle],
            ]
        )
        whole = np.maximum(whole, cv2.warpAffine(each, there, (width, height), flags=cv2.INTER_LINEAR))
    return blend(np.ascontiguousarray(faces.image[..., ::-1]), np.clip(whole, 0, 1))


def _photograph(figure: SubFigure, faces: ImageFaces, attribution: Attribution) -> None:
    axes = figure.subplots()
    axes.imshow(on_photograph(faces, attribution.cam))
    axes.set_axis_off()
    axes.autoscale(False)  # a square may reach beyond the image
    for number, (cx, cy, side, angle) in enumerate(faces.squares.tolist(), 1):
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * side / 2
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        outline = corners @ turn + (cx - 0.5, cy - 0.5)
        axes.plot(outline[:, 0], outline[:, 1], color="white", linewidth=1.2)
        axes.annotate(
            str(number), outline[0], color="black", fontsize=9, ha="left", va="top",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5}, annotation_clip=True,
        )  # fmt: skip


def _rows(figure: SubFigure, faces: ImageFaces, attribution: Attribution, titles: list[str]) -> None:
    grid = figure.subplots(len(faces.crops), len(TITLES), squeeze=False)
    for axes, title in zip(grid[0], TITLES, strict=True):
        axes.set_title(title, fontsize=10)
    for row, crop, cam, guided, title in zip(grid, faces.crops, attribution.cam, attribution.guided, titles, strict=True):
        row[0].imshow(crop, cmap="gray", vmin=0, vmax=255)
        row[1].imshow(heat(crop, cam))
        for axes, values in ((row[2], guided), (row[3], guided * cam)):
            limit = max(float(np.quantile(np.abs(values), 0.995)), 1e-12)
            axes.imshow(values, cmap="gray", vmin=-limit, vmax=limit)
        row[0].set_ylabel(title, fontsize=10)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
