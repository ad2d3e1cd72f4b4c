"""All kinds of mutated inputs by name."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from fuzzing.files import FORMATS, IMAGE_SUFFIXES, ImageFiles, MediaFiles
from fuzzing.messages import Messages
from fuzzing.models import Manifests, Networks
from fuzzing.native import Native
from fuzzing.pushes import Pushes
from fuzzing.texts import Priors, Settings, SourceTexts


class Cases(Protocol):
    """One kind of input. Made with an empty folder of its own."""

    def run(self, chance: random.Random) -> None:
        """Make one input and have it read. FerengineError is an answer, any other exception is not."""
        ...

    def close(self) -> None:
        """Nothing further comes."""
        ...


KINDS: dict[str, Callable[[Path], Cases]] = {
    **{f"media-{suffix}": partial(MediaFiles, suffix) for suffix in FORMATS},
    **{f"image-{suffix}": partial(ImageFiles, suffix) for suffix in IMAGE_SUFFIXES},
    "settings": Settings,
    "priors": Priors,
    "source-texts": SourceTexts,
    "manifests": Manifests,
    "networks": Networks,
    "pushes": Pushes,
    "messages": Messages,
    "native": Native,
}
