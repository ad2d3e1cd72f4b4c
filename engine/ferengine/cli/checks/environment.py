"""What a run reads from and writes to: cameras, the screen, video files, the demo's portraits."""

from __future__ import annotations

from ferengine.cli.checks.base import Finding


def check_cameras() -> Finding:
    """Cameras, and whether they may be opened."""
    from ferengine.sources.v4l2 import list_cameras

    cameras = list_cameras()
    usable = [camera for camera in cameras if camera.unavailable_reason is None]
    told = "; ".join(f"{camera.path} ({camera.unavailable_reason or camera.card})" for camera in cameras)
    if usable:
        return Finding("ok", told)
    if cameras:
        return Finding("warn", told, "see the reasons; until then use --source")
    return Finding("warn", "no camera", "plug one in, or pass it into the container (--device /dev/video0); --source works")


def check_screen() -> Finding:
    """Whether a window can be opened."""
    from ferengine.sinks.window import screen_available

    if screen_available():
        return Finding("ok", "a window can be opened")
    return Finding("ok", "no screen: --display is off, a table on the terminal takes its place")


def check_encoder() -> Finding:
    """The H.264 encoder of --save."""
    import av

    try:
        av.codec.Codec("libx264", "w")
    except ValueError:
        return Finding(
            "warn", f"PyAV {av.__version__} has no libx264: --save does not work", "pip install --force-reinstall av"
        )
    return Finding("ok", f"PyAV {av.__version__} encodes H.264")


def check_demo() -> Finding:
    """The portraits of the built-in demo."""
    from importlib.util import find_spec

    missing = [
        package for package, module in (("scikit-image", "skimage"), ("matplotlib", "matplotlib")) if not find_spec(module)
    ]
    if missing:
        return Finding(
            "warn", f"the demo lacks its portraits ({', '.join(missing)} not installed)", "pip install 'ferengine[demo]'"
        )
    return Finding("ok", "the demo has its portraits")
