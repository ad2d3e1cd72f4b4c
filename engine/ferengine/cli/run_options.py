"""Which settings are options of ``ferengine run``, ``serve`` and ``image``, where help shows them, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ferengine.cli.config_file import load_settings, merged
from ferengine.cli.options import OptionSet, checked
from ferengine.cli.settings import PER_SOURCE, RunSettings
from ferengine.config import EngineConfig

_PANELS: Mapping[str, tuple[str, ...]] = {
    "Sources": ("camera", "source", *PER_SOURCE, "max_frames"),
    "Outputs": (
        "events",
        "csv",
        "parquet",
        "parquet_rows",
        "parquet_minutes",
        "save",
        "display",
        "table",
        "summary",
        "health_file",
        "store",
        "store_days",
        "mqtt",
        "mqtt_password",
        "webhook",
        "webhook_secret",
        "snapshots",
        "clips",
        "media_events",
        "media_draw",
        "media_days",
        "media_megabytes",
        "clip_before",
        "clip_after",
        "overwrite",
        "draw",
        "blur",
        "log_level",
    ),
    "Detection and tracking": (
        "detector",
        "min_face",
        "thresholds",
        "pyramid_factor",
        "gpu_detectors",
        "detect_every",
        "search",
        "full_scan",
        "new_track_scores",
        "tracker",
        "align",
    ),
    "Classification": (),
    "Runtime": ("max_batch", "batch_deadline", "deadline", "queue", "stuck_after", "restart_limit"),
}

RUN = OptionSet(RunSettings, panels=_PANELS, rest="Classification", short={"camera": "-c", "source": "-s"})
"""The options of ``ferengine run``."""

SERVE = OptionSet(
    RunSettings,
    without=frozenset({"display", "table", "summary", "health_file"}),
    panels=_PANELS,
    rest="Classification",
    short={"camera": "-c", "source": "-s"},
)
"""The options of ``ferengine serve``: it has a page in place of a window or table, and answers in place of files of state."""

STILL = OptionSet(
    EngineConfig,
    without=frozenset(
        {"detect_every", "search", "full_scan", "new_track_scores", "tracker", "smoothing", "label_hold", "max_frames"}
        | set(_PANELS["Runtime"])
    ),
    panels=_PANELS,
    rest="Classification",
)
"""The options that apply to still images."""


def read_settings(sources: Sequence[str] | None, config: Path | None, options: Mapping[str, Any]) -> RunSettings:
    """Read the settings of a command line.

    Args:
        sources: Given as arguments; those given as options come after them.
        config: A settings file, which options win over.
        options: What was given, by field.

    Raises:
        UsageError: As ``load_settings``, or naming the options that are wrong.
    """
    if sources:
        options = {**options, "source": [*sources, *options.get("source", ())]}
    settings = checked(RunSettings, options)
    return settings if config is None else merged(load_settings(config), settings)
