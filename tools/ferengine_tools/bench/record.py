"""The figures of one run of ``ferengine bench``: how they are kept, read back and compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ferengine.errors import UsageError

FORMAT = 1
OWN = "ferengine"
"""The way that is ours; all others in the same stage and case are what it is compared with."""

Unit = Literal["us", "ms", "frames/s", "cores", "frames", "faces/frame"]
_MORE_IS_BETTER: frozenset[str] = frozenset({"frames/s", "faces/frame"})


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number: ``value`` of ``case`` in ``stage`` done in one ``way``. ``spread``: half the distance between
    the quartiles over ``value``, 0 where it was measured once."""

    stage: str
    case: str
    way: str
    value: float
    unit: Unit
    spread: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.stage, self.case, self.way

    @property
    def more_is_better(self) -> bool:
        return self.unit in _MORE_IS_BETTER


@dataclass(frozen=True, slots=True)
class Record:
    """One run. ``machine`` and ``versions``: where it ran and with what; ``source``: what the whole engine was given;
    ``absent``: why a way was not measured, by its name."""

    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    source: str
    taken: str
    figures: Sequence[Figure]
    absent: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON. Raises UsageError where that cannot be written."""
        try:
            path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def read_record(path: Path) -> Record:
    """A record that ``Record.write`` has written. Raises UsageError, which names the file, for anything else."""
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        data = None
    if not isinstance(data, dict) or "format" not in data:
        raise UsageError(f"{path} is not a record of ferengine bench: make one with --json FILE")
    if data["format"] != FORMAT:
        raise UsageError(f"{path} has format {data['format']}, this version reads {FORMAT}: measure again")
    try:
        figures = tuple(_figure(item) for item in data["figures"])
        return Record(data["machine"], data["versions"], data["source"], data["taken"], figures, data["absent"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is a damaged record of ferengine bench ({error}): measure again") from None


def _figure(item: Mapping[str, Any]) -> Figure:
    figure = Figure(**item)
    if figure.unit not in get_args(Unit) or not isinstance(figure.value, int | float):
        raise ValueError(f"{figure.value!r} {figure.unit}")
    return figure


def ratio(own: Figure, other: Figure) -> float | None:
    """How many times better ``own`` is than ``other``: 2 is twice as fast, or half the cost. ``None`` for different
    units and where a value is 0."""
    if own.unit != other.unit or not own.value or not other.value:
        return None
    return own.value / other.value if own.more_is_better else other.value / own.value


def own_of(figures: Iterable[Figure], figure: Figure) -> Figure | None:
    """What ``figure`` is compared with: ours of the same stage and case."""
    return next((each for each in figures if each.key == (figure.stage, figure.case, OWN)), None)


def differences(now: Record, earlier: Record) -> list[str]:
    """Why two records are not comparable, in words: another processor, number of cores or source."""
    found = []
    for name in ("processor", "cores"):
        if now.machine.get(name) != earlier.machine.get(name):
            found.append(f"{name}: {earlier.machine.get(name)} then, {now.machine.get(name)} now")
    if now.source != earlier.source:
        found.append(f"source: {earlier.source} then, {now.source} now")
    return found


def compared(now: Record, earlier: Record) -> list[tuple[Figure, Figure, float | None]]:
    """(figure now, the same one earlier, how many times better it is now), of what both records hold."""
    before = {figure.key: figure for figure in earlier.figures}
    return [(figure, before[figure.key], ratio(figure, before[figure.key])) for figure in now.figures if figure.key in before]
