"""How often labels change, and how soon a real change is shown, under values of ``--label-hold``.

    ferengine run --source talk.mp4 --events talk.jsonl --no-display
    python -m ferengine_tools.label_changes talk.jsonl... [--hold 0.3 --hold 0.38] [--leave-one-out] [--json]

The raw scores, poses and qualities in the lines are labelled again under each value, whatever the run used. The response is
measured on sequences made of the same scores: a second of one surely read face, then two of another with another label.

With ``--leave-one-out`` the value is chosen on all files but one and measured on that one, for each in turn: what a choice is
worth on a file that had no part in it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from ferengine.classification.labelling import Labeller
from ferengine.classification.smoothing import Smoother
from ferengine.cli.command import exit_code, make_command
from ferengine.config import make_config
from ferengine.errors import UsageError, describe_invalid
from ferengine.json_text import json_text
from ferengine.results import Pose, Quality

SURE = 0.5
"""Score from which a face is surely read."""

FRONTAL, MIN_SIDE = 30.0, 40.0
"""Degrees of yaw and pitch, and pixels, within which a face should not be uncertain."""

MAX_RESPONSE, MAX_UNCERTAIN = 0.4, 0.3
"""Seconds within which nine changes of ten are to be shown, and the fraction of frontal faces that may be uncertain."""

_FPS, _PAIRS, _MAX_GAP = 25, 150, 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One face of one frame: its time in seconds, raw scores float32 (classes,), pose, quality, and whether it is frontal."""

    timestamp: float
    scores: NDArray[np.float32]
    pose: Pose | None
    quality: Quality | None
    frontal: bool


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """What a value of ``hold`` does.

    Attributes:
        hold: Seconds.
        seconds: Of all tracks together.
        changes: Label changes.
        uncertain_changes: Those of them to or from uncertain.
        frontal: Frames of frontal faces of 40 pixels and more.
        frontal_uncertain: Those of them that are uncertain.
        response_median: Seconds from a change between two surely read faces until it is shown; None where the tracks
            have no two such faces of different labels, or the median of the changes is not shown within two seconds.
        response_p90: The 90th percentile.
    """

    hold: float
    seconds: float
    changes: int
    uncertain_changes: int
    frontal: int
    frontal_uncertain: int
    response_median: float | None
    response_p90: float | None

    @property
    def changes_per_second(self) -> float:
        """0 where there was no time for any."""
        return self.changes / self.seconds if self.seconds else 0.0


class _Expression(BaseModel):
    scores: dict[str, float] = Field(min_length=1)


class _Face(BaseModel):
    track: int
    box: tuple[float, float, float, float]
    expression: _Expression | None = None
    pose: Pose | None = None
    quality: Quality | None = None


class _Line(BaseModel):
    event: str | None = None
    timestamp: float
    faces: list[_Face] = []


def read_tracks(path: Path) -> list[list[Reading]]:
    """The classified faces of each track in a file of JSON lines, in order.

    Raises:
        UsageError: The file cannot be read, holds no classified face, or a line is not one of a run; the message names it.
    """
    tracks: dict[int, list[Reading]] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read {path}: {reason}") from None
    for number, text_line in enumerate(text.split("\n"), start=1):
        if not text_line.strip():
            continue
        try:
            line = _Line.model_validate_json(text_line)
        except ValidationError as error:
            item = error.errors(include_url=False)[0]
            raise UsageError(f"{path}:{number}: {describe_invalid(item, '.'.join(map(str, item['loc'])) or 'line')}") from None
        for face in line.faces if line.event is None else []:
            if face.expression is not None:
                tracks.setdefault(face.track, []).append(_reading(line.timestamp, face, face.expression))
    if not tracks:
        raise UsageError(f"{path} holds no classified face: give the lines that ferengine run --events writes")
    return list(tracks.values())


def _reading(timestamp: float, face: _Face, expression: _Expression) -> Reading:
    pose = face.pose
    turned = FRONTAL if pose is None else max(abs(pose.yaw), abs(pose.pitch))
    scores = np.array(list(expression.scores.values()), np.float32)
    return Reading(timestamp, scores, pose, face.quality, turned < FRONTAL and min(face.box[2:]) >= MIN_SIDE)


def measure(tracks: Sequence[Sequence[Reading]], hold: float, smoothing: float, min_confidence: float) -> LabelChanges:
    """Label the tracks again, and made sequences of their scores."""
    seconds, changes, uncertain, frontal, frontal_uncertain = 0.0, 0, 0, 0, 0
    for track in tracks:
        last: Reading | None = None
        for reading, answer in zip(track, _label(track, hold, smoothing, min_confidence), strict=True):
            seconds += 0.0 if last is None else min(max(0.0, reading.timestamp - last.timestamp), _MAX_GAP)
            label, before, changed = answer
            changes += changed
            uncertain += changed and None in (label, before)
            frontal += reading.frontal
            frontal_uncertain += reading.frontal and label is None
            last = reading
    response = _responses(tracks, hold, smoothing, min_confidence)
    median, p90 = (float(np.percentile(response, q)) if response else np.inf for q in (50, 90))
    return LabelChanges(
        hold, round(seconds, 3), changes, uncertain, frontal, frontal_uncertain,
        round(median, 3) if np.isfinite(median) else None, round(p90, 3) if np.isfinite(p90) else None,
    )  # fmt: skip


def choose(rows: Sequence[LabelChanges]) -> LabelChanges:
    """The row with the fewest changes of those that show nine of ten within MAX_RESPONSE and have no more uncertain frontal
    faces than MAX_UNCERTAIN; of equal ones, and where none does, that with the shortest hold."""
    rows = sorted(rows, key=lambda row: row.hold)
    fit = [
        row
        for row in rows
        if row.response_p90 is not None
        and row.response_p90 <= MAX_RESPONSE
        and row.frontal_uncertain <= MAX_UNCERTAIN * row.frontal
    ]
    return min(fit or rows[:1], key=lambda row: row.changes)


def leave_one_out(
    files: Sequence[Sequence[Sequence[Reading]]], holds: Sequence[float], smoothing: float, min_confidence: float
) -> list[LabelChanges]:
    """What each file's tracks make of the hold that the others choose."""
    measured = []
    for index, tracks in enumerate(files):
        others = [track for other, each in enumerate(files) for track in each if other != index]
        chosen = choose([measure(others, hold, smoothing, min_confidence) for hold in holds])
        measured.append(measure(tracks, chosen.hold, smoothing, min_confidence))
    return measured


def _label(
    track: Sequence[Reading], hold: float, smoothing: float, min_confidence: float
) -> Iterator[tuple[int | None, int | None, bool]]:
    """The label, the one before and whether it has changed, of each frame; None is uncertain."""
    smoother = Smoother(smoothing, len(track[0].scores))
    labeller = Labeller(hold, min_confidence, check_quality=True)
    for each in track:
        smoothed = smoother.update(1, each.timestamp, each.scores)
        answer = labeller.update(1, each.timestamp, each.scores, smoothed, each.pose, each.quality)
        yield answer.label, answer.before, answer.changed


def _responses(tracks: Sequence[Sequence[Reading]], hold: float, smoothing: float, min_confidence: float) -> list[float]:
    sure = [reading.scores for track in tracks for reading in track if reading.scores.max() >= SURE]
    by_label: dict[int, list[NDArray[np.float32]]] = {}
    for scores in sure:
        by_label.setdefault(int(scores.argmax()), []).append(scores)
    if len(by_label) < 2:
        return []
    random, labels, responses = np.random.default_rng(0), sorted(by_label), []
    for _ in range(_PAIRS):
        pair = random.choice(labels, 2, replace=False)
        before, after = (by_label[label][random.integers(len(by_label[label]))] for label in map(int, pair))
        made = [
            Reading(number / _FPS, before if number < _FPS else after, None, None, frontal=True) for number in range(3 * _FPS)
        ]
        shown = [label for label, _, _ in _label(made, hold, smoothing, min_confidence)][_FPS:]
        responses.append(shown.index(int(pair[1])) / _FPS if int(pair[1]) in shown else np.inf)
    return responses


def label_changes(
    files: Annotated[list[Path], typer.Argument(help="Files that ferengine run --events has written.")],
    hold: Annotated[list[float] | None, typer.Option(min=0.0, help="Seconds of --label-hold; once for each value.")] = None,
    smoothing: Annotated[float | None, typer.Option(min=0.0, help="Seconds of --smoothing.")] = None,
    min_confidence: Annotated[float | None, typer.Option(min=0.0, max=0.99, help="As of a run.")] = None,
    one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="A row for each file, with the hold that the other files choose.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of a table.")] = False,
) -> None:
    """Measure how often labels change, and how soon a real change is shown."""
    config = make_config()
    tracks = [read_tracks(file) for file in files]
    holds = hold or [config.label_hold]
    smoothing = config.smoothing if smoothing is None else smoothing
    min_confidence = config.min_confidence if min_confidence is None else min_confidence
    if one_out:
        if len(files) < 2:
            raise UsageError("--leave-one-out needs two files or more")
        rows, names = leave_one_out(tracks, holds, smoothing, min_confidence), [file.name for file in files]
    else:
        together = [track for each in tracks for track in each]
        rows, names = [measure(together, value, smoothing, min_confidence) for value in holds], []
    if as_json:
        made = [{**asdict(row), "changes_per_second": round(row.changes_per_second, 3)} for row in rows]
        print(json_text([{"file": name, **each} for name, each in zip(names, made, strict=True)] if names else made, indent=2))
        return
    header = "| hold, s | changes a second | to and from uncertain | response, s | frontal faces uncertain, % |"
    print(("| left out " if names else "") + header)
    print(("|---" if names else "") + "|---|---|---|---|---|")
    for number, row in enumerate(rows):
        response = " / ".join("-" if each is None else f"{each:.2f}" for each in (row.response_median, row.response_p90))
        uncertain, frontal = row.uncertain_changes / (row.seconds or 1), 100 * row.frontal_uncertain / (row.frontal or 1)
        name = f"| {names[number]} " if names else ""
        print(f"{name}| {row.hold:g} | {row.changes_per_second:.2f} | {uncertain:.2f} | {response} | {frontal:.0f} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(make_command(label_changes), "python -m ferengine_tools.label_changes", arguments)


if __name__ == "__main__":
    sys.exit(main())
