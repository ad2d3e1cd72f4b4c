"""The time that is written into images, and what is made of the times that are read."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest

from ferengine.errors import FerengineError

pytest.importorskip("starlette", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from ferengine_tools.service_bench import latency, load
from ferengine_tools.service_bench.latency import Ages
from ferengine_tools.service_bench.load import Latencies, Phase
from ferengine_tools.service_bench.stamp import PERIOD, put_stamp, read_stamp
from results_help import result


def test_a_stamp_survives_encoding() -> None:
    rng = np.random.default_rng(1)
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.options = 640, 360, "yuv420p", {"crf": "30", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    stamps, read = [0, PERIOD - 1, 123_456, 789_012], []
    for stamp in stamps:
        image = np.kron(rng.integers(0, 255, (45, 80, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        put_stamp(image, stamp)
        assert read_stamp(image) == stamp
        for packet in encoder.encode(av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")):
            read += [read_stamp(frame.to_ndarray(format="bgr24")) for frame in decoder.decode(av.Packet(bytes(packet)))]
    read += [read_stamp(frame.to_ndarray(format="bgr24")) for frame in decoder.decode(None)]
    assert read == stamps


def test_ages_are_ordered() -> None:
    ages = Ages.of("result", [float(each) for each in range(101)])
    assert (ages.frames, ages.p50, ages.p95, ages.p99) == (101, 50, 95, 99)
    with pytest.raises(FerengineError, match="no image reached the browser"):
        Ages.of("browser", [])


def test_latencies_are_taken_once() -> None:
    latencies = Latencies()
    latencies(result(0))
    assert (latencies.take(), latencies.take()) == ([5.0], [])


def test_phases_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    without, watched = Phase(0, 60.0, 8.0, 20.0, 0.6, 0.1, 0.0, 0.0, 0.0), Phase(8, 60.0, 9.0, 22.0, 0.7, 0.2, 0.2, 0.04, 480.0)
    monkeypatch.setattr(load, "measure", lambda *_: [without, watched, without, watched])
    assert load.main([]) == 0
    assert "p99 with viewers: 1.10 times that without (median of 2; 1.10 to 1.10)" in capsys.readouterr().out
    assert load.main(["--json"]) == 0
    assert [json.loads(line)["viewers"] for line in capsys.readouterr().out.splitlines()] == [0, 8, 0, 8]
    assert load.main(["--viewers", "0"]) == 2
    monkeypatch.setattr(latency, "measure", lambda *_: [Ages.of("result", [5.0])])
    assert latency.main([]) == 0
    assert "1 images; p50 5 ms" in capsys.readouterr().out
