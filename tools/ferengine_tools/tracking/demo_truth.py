"""The truth of the demo, which knows where it draws its faces."""

from __future__ import annotations

from ferengine.sources.demo import DemoSource
from ferengine_tools.tracking.lines import Sighting, Sightings, as_boxes

_HIDDEN = 0.3
"""The hidden fraction from which a face is ignored: it may be found or not."""

_FPS = 30.0


def demo_truth(scenario: str, frames: int) -> Sightings:
    """Who is where in the first frames of a scenario as ``ferengine run --source demo:SCENARIO`` shows it; faces that are
    partly hidden are ignored.

    Raises:
        UsageError: There is no such scenario.
    """
    source = DemoSource(fps=_FPS, frames=None, scenario=scenario)
    truth: Sightings = {}
    for number in range(frames):
        faces = source.truth(number)
        seen = [face for face in faces if face.hidden <= _HIDDEN]
        truth[number] = Sighting(
            number / _FPS,
            tuple(face.person for face in seen),
            as_boxes(face.box for face in seen),
            (None,) * len(seen),
            as_boxes(face.box for face in faces if face.hidden > _HIDDEN),
        )
    return truth
