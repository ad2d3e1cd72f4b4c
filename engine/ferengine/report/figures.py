"""The figures of a report, drawn with Plotly; each has a bounded number of points."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import plotly.graph_objects as go

from ferengine.report.events import Camera, Cell, Key, Person, Recording
from ferengine.results import UNCERTAIN

PALETTE = ("#eb4c4c", "#6cae60", "#9e6ec7", "#f5be32", "#3c8ae0", "#46c8c8", "#a9b4be", "#f58c50", "#f578aa", "#b4dc78")
"""By the index of the class, as in the video of ``--save`` and on the page of ``ferengine serve``."""
_UNKNOWN = "#d7dde3"
MAX_PEOPLE = 30
"""People that a figure shows, those that were there for longest."""
MAX_BARS = 2_000
"""Bars of a timeline: with many more a browser takes seconds to draw them; short ones then give way to longer ones."""
_MAX_LINES = 8
_BINS = 600
"""Points of one line at most."""


def colours(recording: Recording) -> dict[str, str]:
    """The colour of each label."""
    named = {label: PALETTE[number % len(PALETTE)] for number, label in enumerate(recording.labels)}
    return {**named, UNCERTAIN: _UNKNOWN}


def longest(recording: Recording, camera: str, limit: int) -> list[tuple[Key, Person]]:
    """The people of a camera that were there for longest, in the order in which they came."""
    people = [item for item in recording.people.items() if item[0][0] == camera]
    chosen = sorted(people, key=lambda item: item[1].first - item[1].last)[:limit]
    return sorted(chosen, key=lambda item: item[1].first)


def name_of(key: Key) -> str:
    """What a person is called: the track, with the number of the run where the camera began anew."""
    return f"#{key[2]}" + (f" (run {key[1] + 1})" if key[1] else "")


def timeline(recording: Recording, camera: str) -> go.Figure:
    """A row for each person, with the label of each moment."""
    people = longest(recording, camera, MAX_PEOPLE)
    found = {key: person.cells for key, person in people}
    width = recording.width
    while sum(1 for cells in found.values() for _ in runs(cells, width)) > MAX_BARS:
        found, width = {key: _halved(cells) for key, cells in found.items()}, 2 * width
    bars: defaultdict[str, list[tuple[str, float, float, float]]] = defaultdict(list)
    for key, cells in found.items():
        for label, begin, end, confidence in runs(cells, width):
            bars[label].append((name_of(key), begin, end, confidence))
    named = colours(recording)
    figure = go.Figure()
    for label, drawn in bars.items():
        figure.add_bar(
            orientation="h", name=html.escape(label), marker_color=named.get(label, _UNKNOWN), marker_line_width=0,
            y=[item[0] for item in drawn], base=_dates(item[1] for item in drawn),
            x=[1e3 * (item[2] - item[1]) for item in drawn],
            customdata=[[f"{item[2] - item[1]:.1f} s", f"{100 * item[3]:.0f} %"] for item in drawn],
            hovertemplate=f"%{{y}} {html.escape(label)}<br>for %{{customdata[0]}}<br>%{{customdata[1]}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        barmode="overlay", height=140 + 24 * len(people), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(type="date", tickformat="%H:%M:%S")
    return figure


def runs(found: Mapping[int, Cell], width: float) -> Iterable[tuple[str, float, float, float]]:
    """Stretches of one label: label, beginning and end in seconds, and mean confidence.

    Args:
        found: The cells of a person.
        width: Seconds of a cell.
    """
    begun: tuple[str, int, int, float, int] | None = None
    for number in sorted(found):
        cell = found[number]
        label = cell.label
        gap = begun is not None and (number - begun[2]) * width > max(1.0, 1.5 * width)
        if begun is not None and (label != begun[0] or gap):
            yield begun[0], begun[1] * width, (begun[2] + 1) * width, begun[3] / begun[4]
            begun = None
        if label is None:
            continue
        if begun is None:
            begun = label, number, number, 0.0, 0
        begun = label, begun[1], number, begun[3] + cell.confidence, begun[4] + cell.scored
    if begun is not None:
        yield begun[0], begun[1] * width, (begun[2] + 1) * width, begun[3] / begun[4]


def fractions(recording: Recording, camera: str) -> go.Figure:
    """For each person, the fraction of its time that each label lasted."""
    people = longest(recording, camera, MAX_PEOPLE)
    named = colours(recording)
    figure = go.Figure()
    for label in [*recording.labels, UNCERTAIN]:
        seconds = [person.seconds[label] for _, person in people]
        if any(seconds):
            totals = [max(1e-9, float(sum(person.seconds.values()))) for _, person in people]
            figure.add_bar(
                orientation="h", name=html.escape(label), marker_color=named[label], y=[name_of(key) for key, _ in people],
                x=[value / total for value, total in zip(seconds, totals, strict=True)],
                customdata=[f"{value:.1f} s" for value in seconds],
                hovertemplate="%{y} " + html.escape(label) + ": %{x:.1%}, %{customdata}<extra></extra>",
            )  # fmt: skip
    figure.update_layout(
        barmode="stack", height=140 + 24 * len(people), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    return figure


def transitions(recording: Recording) -> go.Figure:
    """How often each label followed each other."""
    labels = [*recording.labels]
    labels += [UNCERTAIN] if any(UNCERTAIN in pair for pair in recording.transitions) else []
    counts = [[recording.transitions[before, after] for after in labels] for before in labels]
    shown = [html.escape(label) for label in labels]
    figure = go.Figure(
        go.Heatmap(z=counts, x=shown, y=shown, colorscale="Teal", showscale=False, texttemplate="%{z}", xgap=2, ygap=2,
                   hovertemplate="%{y} → %{x}: %{z}<extra></extra>")
    )  # fmt: skip
    figure.update_layout(height=120 + 36 * len(labels))
    figure.update_yaxes(autorange="reversed", title="from")
    figure.update_xaxes(title="to", side="top")
    return figure


def confidence(recording: Recording, camera: str) -> go.Figure:
    """The smoothed score of the label of each person."""
    return _lines(recording, camera, lambda cell: cell.confidence / cell.scored if cell.scored else None, ".0%")


def quality(recording: Recording, camera: str) -> list[tuple[str, go.Figure]]:
    """How well the faces could be read: their width, the detector's and the tracker's confidence, and what else there is."""
    further = [
        (title, _lines(recording, camera, partial(_mean, name=name), shape))
        for name, title, shape in (
            ("score", "Probability of the last detection", ".0%"),
            ("track_confidence", "Confidence of the tracker", ".0%"),
            ("sharpness", "Sharpness of the crop", ".2f"),
            ("brightness", "Brightness of the crop, 0 to 255", ".0f"),
            ("turned", "Degrees that the face is turned away", ".0f"),
        )
        if any(
            cell.measured[name]
            for key, person in recording.people.items()
            if key[0] == camera
            for cell in person.cells.values()
        )
    ]
    return [
        ("Width of the face, pixels", _lines(recording, camera, lambda cell: cell.width / cell.n, ".0f")),
        *further,
    ]


def _mean(cell: Cell, name: str) -> float | None:
    return cell.mean(name)


def _lines(recording: Recording, camera: str, value: Callable[[Cell], float | None], shape: str) -> go.Figure:
    figure = go.Figure()
    for key, person in longest(recording, camera, _MAX_LINES):
        cells, width = thinned(person.cells, recording.width)
        numbers = sorted(cells)
        x: list[float] = []
        y: list[float | None] = []
        for before, number in zip([None, *numbers], numbers, strict=False):
            if before is not None and (number - before) * width > max(1.0, 1.5 * width):
                x.append((before + 1) * width)
                y.append(None)  # the line breaks where the person was not seen
            x.append((number + 0.5) * width)
            y.append(value(cells[number]))
        figure.add_scatter(x=_dates(x), y=y, name=name_of(key), mode="lines", hovertemplate="%{y:" + shape + "}")
    figure.update_layout(height=280, hovermode="x unified")
    figure.update_xaxes(type="date", tickformat="%H:%M:%S")
    figure.update_yaxes(tickformat=shape, rangemode="tozero")
    return figure


def thinned(cells: dict[int, Cell], width: float) -> tuple[dict[int, Cell], float]:
    """The cells, joined until there are few enough for a line, and the width of one."""
    while len(cells) > _BINS:
        cells, width = _halved(cells), 2 * width
    return cells, width


def _halved(cells: Mapping[int, Cell]) -> dict[int, Cell]:
    """One cell of each two."""
    joined: dict[int, Cell] = {}
    for number, cell in cells.items():
        joined.setdefault(number // 2, Cell()).add(cell)
    return joined


def latency(recording: Recording, camera: Camera) -> go.Figure:
    """Mean and largest latency, and frames missing."""
    found, width, gaps = camera.latencies, recording.width, dict(camera.gaps)
    while len(found) > _BINS:
        joined: dict[int, tuple[int, float, float]] = {}
        for number, (n, total, largest) in found.items():
            m, sum_, maximum = joined.get(number // 2, (0, 0.0, 0.0))
            joined[number // 2] = n + m, total + sum_, max(largest, maximum)
        fewer: dict[int, int] = {}
        for number, count in gaps.items():
            fewer[number // 2] = fewer.get(number // 2, 0) + count
        found, width, gaps = joined, 2 * width, fewer
    numbers = sorted(found)
    x = _dates((number + 0.5) * width for number in numbers)
    figure = go.Figure()
    figure.add_scatter(x=x, y=[found[n][2] for n in numbers], name="largest, ms", line={"color": "#f5be32", "width": 1})
    figure.add_scatter(x=x, y=[found[n][1] / found[n][0] for n in numbers], name="mean, ms", line={"color": "#14b8a6"})
    if gaps:
        figure.add_bar(x=_dates((n + 0.5) * width for n in gaps), y=list(gaps.values()), name="frames missing",
                       marker_color="#eb4c4c", yaxis="y2", width=[1e3 * width] * len(gaps))  # fmt: skip
    missing = {"title": "frames", "overlaying": "y", "side": "right", "rangemode": "tozero", "showgrid": False}
    figure.update_layout(height=280, yaxis={"title": "ms", "rangemode": "tozero"}, yaxis2=missing)
    figure.update_xaxes(type="date", tickformat="%H:%M:%S")
    return figure


def _dates(seconds: Iterable[float]) -> Sequence[float]:
    """As Plotly's date axes take them: milliseconds since the epoch. The media seconds of a file then read as hours, minutes
    and seconds from its beginning."""
    return [1e3 * value for value in seconds]
