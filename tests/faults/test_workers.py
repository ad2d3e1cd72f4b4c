"""Workers that are killed and stopped at random moments: of files nothing is lost, of live sources nothing uncounted."""

from __future__ import annotations

import random
import time
from pathlib import Path
from threading import Event

import av
import pytest

from faults_help import STAGES, Disturber, same_faces, without_times
from ferengine import Engine
from ferengine.results import FrameResult
from ferengine_tools.soak.cameras import Pusher, make_sources
from ferengine_tools.soak.run import ResultCounter, check_counts
from threads_help import CheckedThread

FAULTS = 8
"""In one round."""


@pytest.mark.timeout(600)
def test_of_a_file_nothing_is_lost(seed: int, clip: Path, undisturbed: list[FrameResult]) -> None:
    chance = random.Random(seed)
    moments = {chance.randrange(len(undisturbed)) for _ in range(FAULTS)}
    stages = chance.choice([STAGES, ("capture", "detect", "classify"), (chance.choice(STAGES),)])
    with Engine(clip, queue=4, min_face=30.0, restart_limit=1000) as engine, Disturber(engine, chance) as disturber:
        results = []
        for result in engine.results():
            results.append(result)
            if result.frame in moments:
                if chance.random() < 0.3:
                    time.sleep(chance.random() * 0.5)
                disturber.disturb(stages)
    assert [result.frame for result in results] == list(range(len(undisturbed)))
    assert all(face.expression is not None for result in results for face in result.faces)
    if "track" in disturber.hit:  # its successor knows the tracks no more: the faces are the same, under other ids
        different = sum(not same_faces(one.faces, other.faces) for one, other in zip(results, undisturbed, strict=True))
        assert different <= 6 * disturber.hit.count("track")
    else:
        assert [without_times(result) for result in results] == [without_times(result) for result in undisturbed]
    summary = engine.summary()
    assert sum(summary["dropped"]["capture"].values()) + sum(summary["dropped"]["track"].values()) == 0
    assert engine.failures == ()


@pytest.mark.timeout(600)
def test_a_saved_video_says_what_it_has_not(seed: int, clip: Path, undisturbed: list[FrameResult], tmp_path: Path) -> None:
    chance = random.Random(seed)
    moments = {chance.randrange(len(undisturbed)) for _ in range(4)}
    out = tmp_path / "out.mp4"
    settings = {"save": out, "queue": 4, "min_face": 30.0, "restart_limit": 1000}
    with Engine(clip, **settings) as engine, Disturber(engine, chance) as disturber:  # type: ignore[arg-type]
        frames = []
        for result in engine.results():
            frames.append(result.frame)
            if result.frame in moments:
                disturber.disturb(("video",))
    assert frames == list(range(len(undisturbed)))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    with av.open(str(out)) as container:
        saved = sum(1 for _ in container.decode(video=0))
    video = engine.summary()["sinks"]["video"]
    assert saved == video["written"]
    assert saved + video["cut"] + video["dropped"] == len(frames)
    assert bool(engine.failures) == (video["cut"] + video["dropped"] > 0)


@pytest.mark.timeout(600)
def test_of_live_sources_nothing_is_uncounted(seed: int) -> None:
    chance = random.Random(seed)
    size, fps = (320, 240), 15.0
    counter = ResultCounter()
    with (
        Engine(make_sources(3, fps, size), min_face=30.0, restart_limit=1000) as engine,
        Disturber(engine, chance) as disturber,
    ):
        results = engine.results()
        engine.wait_ready()
        over = Event()

        def consume() -> None:
            for result in results:
                counter.add(result)

        consumer = CheckedThread(consume)
        pusher = Pusher(engine, ["pushed-1"], fps, size)
        for _ in range(FAULTS):
            over.wait(chance.uniform(0.0, 0.6))
            disturber.disturb()
        over.wait(0.5)
        pusher.close()
        for name in engine.cameras:
            engine.end_source(name)
        consumer.join()
        assert engine.wait(60)
        health = engine.health()
    dropped = sum(each.dropped for each in health.consumers)
    failed = [check for check in check_counts(counter, pusher.offered, health.cameras, dropped) if not check.passed]
    assert failed == [], [
        (each.name, each.frames, dict(each.dropped), counter.last[each.name]) for each in health.cameras.values()
    ]
    assert engine.failures == ()
