"""The metrics of one run of ``ferengine bench``: how they are kept, read back and compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ferengine.errors import UsageError
from ferengine.json_text import json_text

FORMAT = 2
OWN = "ferengine"
"""The way that is ours; all others in the same stage and case are what it is compared with."""

Unit = Literal["us", "ms", "frames/s", "cores", "frames", "faces/frame"]
_MORE_IS_BETTER: frozenset[str] = frozenset({"frames/s", "faces/frame"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured number.

    Attributes:
        stage: What was measured.
        case: With what input.
        way: By which implementation.
        value: The number.
        unit: Its unit.
        spread: Half the distance between the quartiles, divided by ``value``; 0 for a single measurement.
    """

    stage: str
    case: str
    way: str
    value: float
    unit: Unit
    spread: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """What is the same in two records."""
        return self.stage, self.case, self.way

    @property
    def more_is_better(self) -> bool:
        """Whether a larger value is better."""
        return self.unit in _MORE_IS_BETTER


@dataclass(frozen=True, slots=True)
class Record:
    """One run of the benchmark.

    Attributes:
        machine: Where it ran.
        versions: The versions of the packages.
        source: What the whole engine read.
        taken: When, ISO 8601.
        metrics: What was measured.
        absent: Why a way was not measured, by its name.
    """

    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    source: str
    taken: str
    metrics: Sequence[Metric]
    absent: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            UsageError: The file cannot be written.
        """
        try:
            path.write_text(json_text({"format": FORMAT, **asdict(self)}, indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def read_record(path: Path) -> Record:
    """Read what ``Record.write`` has written.

    Raises:
        UsageError: The file is something else.
    """
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
        metrics = tuple(_metric(item) for item in data["metrics"])
        return Record(data["machine"], data["versions"], data["source"], data["taken"], metrics, data["absent"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is a damaged record of ferengine bench ({error}): measure again") from None


def _metric(item: Mapping[str, Any]) -> Metric:
    metric = Metric(**item)
    if metric.unit not in get_args(Unit) or not isinstance(metric.value, int | float):
        raise ValueError(f"{metric.value!r} {metric.unit}")
    return metric


def ratio(own: Metric, other: Metric) -> float | None:
    """Return how many times better ``own`` is than ``other``: 2 is twice as fast, or half the cost.

    None for different units, and where a value is 0.
    """
    if own.unit != other.unit or not own.value or not other.value:
        return None
    return own.value / other.value if own.more_is_better else other.value / own.value


def own_of(metrics: Iterable[Metric], metric: Metric) -> Metric | None:
    """What ``metric`` is compared with: ours of the same stage and case."""
    return next((each for each in metrics if each.key == (metric.stage, metric.case, OWN)), None)


def differences(now: Record, earlier: Record) -> list[str]:
    """Why two records are not comparable, in words: another processor, number of cores or source."""
    found = []
    for name in ("processor", "cores"):
        if now.machine.get(name) != earlier.machine.get(name):
            found.append(f"{name}: {earlier.machine.get(name)} then, {now.machine.get(name)} now")
    if now.source != earlier.source:
        found.append(f"source: {earlier.source} then, {now.source} now")
    return found


def compared(now: Record, earlier: Record) -> list[tuple[Metric, Metric, float | None]]:
    """(metric now, the same one earlier, how many times better it is now), of what both records hold."""
    before = {metric.key: metric for metric in earlier.metrics}
    return [(metric, before[metric.key], ratio(metric, before[metric.key])) for metric in now.metrics if metric.key in before]
