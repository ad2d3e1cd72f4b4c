"""The demo: faces that move over a drawn background.

It is what ``ferengine run`` shows without a camera, and what tests run on: ``motion`` and ``scenes`` say where each face is,
``portraits`` cuts them out of photographs, ``drawn`` draws them where those are not installed, and ``source`` renders the
frames.
"""

from __future__ import annotations

from ferengine.sources.demo.scenes import OCCLUDED
from ferengine.sources.demo.source import DemoSource, TrueFace

__all__ = ["OCCLUDED", "DemoSource", "TrueFace"]
