"""Reads the faces of images that clients send, a child process: a decoder that crashes or hangs takes nothing with it."""

from __future__ import annotations

import json

import numpy as np

from ferengine.analyzer import Analyzer
from ferengine.errors import FerengineError, MissingDependencyError, SourceError
from ferengine.ipc.child import serve_parent
from ferengine.json_text import json_text
from ferengine.service.messages import Answer
from ferengine.sources.image_header import image_extent
from ferengine.sources.images import decode_images

_MAX_PIXELS = 50_000_000


def analyse(analyzer: Analyzer, data: bytes) -> Answer:
    """The faces of one encoded image, as JSON."""
    packed = np.frombuffer(data, np.uint8)
    extent = image_extent(packed)
    if extent is not None and extent.width * extent.height > _MAX_PIXELS:
        size = f"{extent.width}x{extent.height}"
        return Answer(False, f"the image has {size} pixels: scale it down to {_MAX_PIXELS // 1_000_000} megapixels")
    try:
        images = decode_images(packed, maximum=1)
    except (SourceError, MissingDependencyError) as error:
        return Answer(False, f"the image {error}")
    if not images:
        return Answer(False, "this is not an image that can be decoded, or it is damaged")
    try:
        faces = analyzer.analyze(images[0])
    except FerengineError as error:
        return Answer(False, str(error))
    height, width = images[0].shape[:2]
    record = {"width": width, "height": height, "faces": [face.to_dict() for face in faces]}
    if analyzer.prior is not None:
        record["prior"] = analyzer.prior.name
    return Answer(True, json_text(record))


def main(arguments: list[str]) -> None:
    """The first request holds the settings of the analyzer and the probabilities of its prior as JSON; each further one is an
    image."""
    socket, title = arguments
    made: list[Analyzer] = []

    def answer(data: bytes) -> bytes:
        if made:
            return analyse(made[0], data).encode()
        begin = json.loads(data)
        try:
            analyzer = Analyzer(**begin["settings"])
        except FerengineError as error:
            return Answer(False, str(error)).encode()
        prior = analyzer.prior
        if prior is not None and begin["prior"] not in (None, prior.by_label()):
            return Answer(False, f"the prior {prior.name} was changed since the service began: start that again").encode()
        made.append(analyzer)
        return Answer(True, "").encode()

    serve_parent(socket, title, answer)
