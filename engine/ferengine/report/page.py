"""The report as one HTML file, with the script of Plotly in it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from ferengine import __version__
from ferengine.report import figures
from ferengine.report.events import Camera, Recording

_EPOCH_SECONDS = 1e9
"""Time stamps above this are seconds since the epoch, not of a file."""
_MAX_EVENTS = 200

_STYLE = """
:root { color-scheme: light; --ink: #12202c; --soft: #52667a; --line: #d7dfe7; --accent: #0f766e; }
* { box-sizing: border-box; }
body { margin: 0; background: #f2f5f8; color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header, main { max-width: 1180px; margin: auto; padding: 20px; }
h1 { margin: 0; font-size: 26px; } h2 { margin: 28px 0 8px; } h3 { margin: 0 0 4px; font-size: 16px; }
.soft { color: var(--soft); margin: 4px 0 0; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 14px; padding: 16px; margin: 14px 0; overflow-x: auto; }
.numbers { display: flex; flex-wrap: wrap; gap: 14px; margin: 14px 0 0; }
.numbers div { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 10px 18px; }
.numbers b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
@media print { .card { break-inside: avoid; } body { background: #fff; } }
"""
_SETTINGS = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}


def report_page(recording: Recording, paths: Iterable[Path]) -> str:
    """The whole file."""
    names = ", ".join(path.name for path in paths)
    people = len(recording.people)
    cameras = recording.cameras.values()
    numbers = [
        ("cameras", len(recording.cameras)), ("people", people), ("frames", sum(camera.frames for camera in cameras)),
        ("faces", sum(camera.faces for camera in cameras)), ("missing frames", sum(camera.dropped for camera in cameras)),
        ("unclassified faces", sum(sum(camera.unclassified.values()) for camera in cameras)),
    ]  # fmt: skip
    priors = sorted(prior for prior in recording.priors if prior is not None)
    named = [*priors, *(["none named"] if None in recording.priors else [])]
    notes = [f"Class prior: {', '.join(named)}."] if priors else []
    if len(named) > 1:
        notes.append("Labels that were read under different priors do not compare.")
    if recording.skipped:
        notes.append(f"{recording.skipped:,} lines are no results and were left out.")
    if recording.sampled:
        notes.append("From a store, which has one sample a second of each person: faces by reason are counted in samples.")
    parts = [
        _head(names),
        '<section class="numbers">' + "".join(f"<div><b>{value:,}</b>{name}</div>" for name, value in numbers) + "</section>",
        "".join(f'<p class="soft">{html.escape(note)}</p>' for note in notes),
        "</header><main>",
        *(_camera(recording, name, camera) for name, camera in recording.cameras.items()),
        "<h2>All people</h2>",
        _card("Transitions", figures.transitions(recording), "How often one label followed another on the same face."),
        "</main></body></html>",
    ]
    return "\n".join(parts)


def _head(names: str) -> str:
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(names)}: expressions</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body><header><h1>{html.escape(names)}</h1>"
        f'<p class="soft">Perceived expressions: what faces show to a viewer, not what people feel. '
        f"Made {made} by ferengine {__version__}.</p>"
    )


def _camera(recording: Recording, name: str, camera: Camera) -> str:
    heading = f"<h2>{html.escape(name)}</h2>"
    if camera.first is None:
        return heading + _events(camera)
    everyone = sum(key[0] == name for key in recording.people)
    span = camera.last - camera.first
    when = ""
    if camera.first > _EPOCH_SECONDS:
        when = datetime.fromtimestamp(camera.first, UTC).strftime("From %Y-%m-%d %H:%M:%S UTC. ")
    said = f"{when}{span / 60:.1f} minutes, {camera.frames:,} frames, {everyone:,} people, {camera.scene_cuts} scene cuts."
    shown = min(everyone, figures.MAX_PEOPLE)
    limit = "" if shown == everyone else f" The {shown} who were there for longest are shown, of {everyone:,}."
    parts = [heading, f'<p class="soft">{html.escape(said)}</p>']
    if everyone:
        parts += [
            _card("Timeline", figures.timeline(recording, name), f"The label of each person at each moment.{limit}"),
            _card(
                "Fractions", figures.fractions(recording, name), f"How much of its time each person showed each label.{limit}"
            ),
            _card("Confidence", figures.confidence(recording, name), "Smoothed score of the label."),
            *(_card(title, figure) for title, figure in figures.quality(recording, name)),
        ]
    parts.append(_card("Latency and missing frames", figures.latency(recording, camera)))
    parts += [_reasons("Unclassified faces", camera.unclassified), _reasons("Uncertain faces", camera.uncertain)]
    return "\n".join([*parts, _events(camera)])


def _reasons(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    rows = "".join(f"<tr><td>{html.escape(reason)}</td><td>{count:,}</td></tr>" for reason, count in counts.items())
    return f'<section class="card"><h3>{title}</h3><table><tr><th>reason<th>faces</tr>{rows}</table></section>'


def _events(camera: Camera) -> str:
    if not camera.events:
        return ""
    rows = "".join(
        f"<tr><td>{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S}</td><td>{html.escape(event)}</td>"
        f"<td>{html.escape(reason)}</td></tr>"
        for when, event, reason in camera.events[:_MAX_EVENTS]
    )
    more = len(camera.events) - _MAX_EVENTS
    rest = f'<p class="soft">And {more:,} more.</p>' if more > 0 else ""
    return (
        '<section class="card"><h3>Camera events</h3><table><tr><th>time (UTC)<th>event<th>reason</tr>'
        f"{rows}</table>{rest}</section>"
    )


def _card(title: str, figure: go.Figure, said: str = "") -> str:
    figure.update_layout(
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 20, "b": 40},
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=_SETTINGS)
    text = f'<p class="soft">{html.escape(said)}</p>' if said else ""
    return f'<section class="card"><h3>{html.escape(title)}</h3>{text}{drawn}</section>'
