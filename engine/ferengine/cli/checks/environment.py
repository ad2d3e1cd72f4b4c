"""Checks of what a run reads and writes: cameras, the screen, video files, the demo's faces."""

from __future__ import annotations

from ferengine.cli.checks.base import Finding
from ferengine.pip_hint import install_extra, pip_install


def check_cameras() -> Finding:
    """Check for cameras that may be opened."""
    from ferengine.sources.v4l2 import list_cameras

    cameras = list_cameras()
    usable = [camera for camera in cameras if camera.unavailable_reason is None]
    found = "; ".join(f"{camera.path} ({camera.unavailable_reason or camera.card})" for camera in cameras)
    if usable:
        return Finding("ok", found)
    if cameras:
        return Finding("warn", found, "fix the reason, or use --source")
    return Finding("warn", "no camera", "connect one, or pass it to the container (--device /dev/video0); --source works")


def check_screen() -> Finding:
    """Check whether a window can be opened."""
    from ferengine.sinks.screen import no_window_reason

    reason = no_window_reason()
    if reason is None:
        return Finding("ok", "a window can be opened")
    return Finding("ok", f"--display is off, and the terminal shows a table instead: {reason}")


def check_encoder() -> Finding:
    """Check for the H.264 encoder of --save."""
    import av

    try:
        av.codec.Codec("libx264", "w")
    except ValueError:
        return Finding(
            "warn", f"PyAV {av.__version__} has no libx264: --save does not work", pip_install("--force-reinstall", "av")
        )
    return Finding("ok", f"PyAV {av.__version__} encodes H.264")


def check_demo() -> Finding:
    """What the built-in demo shows."""
    from ferengine.sources.demo.portraits import PORTRAITS, is_installed

    if all(is_installed(portrait) for portrait in PORTRAITS):
        return Finding("ok", "the demo shows two portraits")
    return Finding("ok", f"the demo shows drawn faces ({install_extra('demo')} for photographs of two people)")
