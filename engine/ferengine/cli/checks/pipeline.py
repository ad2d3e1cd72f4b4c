"""Check of the whole engine on a short video of the drawn face."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ferengine.cli.checks.base import Finding

_FRAMES = 12


def check_pipeline() -> Finding:
    """Check that workers start, pass frames and faces through shared memory, and that each frame returns with its one face."""
    from ferengine.cli.checks.drawn_face import SIDE, drawn_face
    from ferengine.engine import Engine
    from ferengine.sinks.video import VideoWriter

    try:
        temporary = tempfile.TemporaryDirectory(prefix="ferengine-doctor-")
    except OSError as error:
        return Finding("warn", f"not checked, for want of a folder for its video ({error.strerror})",
                       "name a folder that can be written to in TMPDIR; ferengine run itself needs none")  # fmt: skip
    with temporary as folder:
        path = Path(folder) / "face.mp4"
        writer, image = VideoWriter(path, SIDE, SIDE, 25.0), drawn_face()
        for number in range(_FRAMES):
            writer.write(image, number / 25)
        writer.close()
        with Engine(path) as engine:
            results = list(engine.results())
            summary = engine.summary()
    right = sum(len(result.faces) == 1 and result.faces[0].expression is not None for result in results)
    if (len(results), right) != (_FRAMES, _FRAMES):
        return Finding("fail", f"of {_FRAMES} frames with one face, {len(results)} came back and {right} were right",
                       "run ferengine run FILE --log-level debug, and report its output")  # fmt: skip
    restarts = sum(worker["restarts"] for worker in summary["workers"].values())
    text = f"{_FRAMES} frames through all workers, ready after {summary['startup_s']:.1f} s"
    if restarts:
        return Finding("warn", f"{text}, but {restarts} workers died", "see their messages above")
    return Finding("ok", text)
