"""The metrics of the engine and the service as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ferengine.runtime.health import CameraHealth
from ferengine.service.context import Context

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Family = CounterMetricFamily | GaugeMetricFamily


class _EngineCollector(Collector):
    """Reads health and summary anew for each scrape: the engine counts anyway."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterator[_Family]:
        health = self._context.engine.health()
        yield GaugeMetricFamily("ferengine_up", "Whether the engine runs and no part of it has failed.", float(health.ok))
        yield from self._cameras(health.cameras)
        yield from self._run()
        yield from self._service()

    @staticmethod
    def _cameras(cameras: Mapping[str, CameraHealth]) -> Iterator[_Family]:
        frames = CounterMetricFamily("ferengine_frames", "Results that went out.", labels=["camera"])
        faces = CounterMetricFamily("ferengine_faces", "Faces in them.", labels=["camera"])
        ignored = CounterMetricFamily("ferengine_ignored", "How often zones excluded a face.", labels=["camera"])
        dropped = CounterMetricFamily("ferengine_dropped", "Frames and faces dropped, by reason.", labels=["camera", "reason"])
        state = GaugeMetricFamily(
            "ferengine_camera_state", "1 for the state that the camera is in.", labels=["camera", "state"]
        )
        age = GaugeMetricFamily("ferengine_last_frame_age_seconds", "Since the newest frame was captured.", labels=["camera"])
        for name, camera in cameras.items():
            frames.add_metric([name], camera.frames)
            faces.add_metric([name], camera.faces)
            ignored.add_metric([name], camera.ignored)
            state.add_metric([name, camera.state], 1)
            for reason, count in camera.dropped.items():
                dropped.add_metric([name, reason], count)
            if camera.last_frame_age_s is not None:
                age.add_metric([name], camera.last_frame_age_s)
        yield from (frames, faces, ignored, dropped, state, age)

    def _run(self) -> Iterator[_Family]:
        summary = self._context.engine.summary()
        latency = GaugeMetricFamily(
            "ferengine_latency_seconds", "Latency of each stage over the last results.", labels=["stage", "quantile"]
        )
        for stage, found in summary["latency_ms"].items():
            for quantile, value in (("0.5", found["p50"]), ("0.95", found["p95"]), ("0.99", found["p99"])):
                latency.add_metric([stage, quantile], value / 1e3)
        restarts = CounterMetricFamily("ferengine_worker_restarts", "Restarts of each process.", labels=["worker"])
        memory = GaugeMetricFamily("ferengine_worker_peak_bytes", "Peak memory of each process.", labels=["worker"])
        cpu = CounterMetricFamily("ferengine_worker_cpu_seconds", "CPU time of each process.", labels=["worker"])
        for name, worker in summary["workers"].items():
            restarts.add_metric([name], worker["restarts"])
            memory.add_metric([name], worker["peak_mb"] * 2**20)
            cpu.add_metric([name], worker["cpu_s"])
        lost = CounterMetricFamily("ferengine_results_dropped", "Results that full queues dropped.")
        lost.add_metric([], summary["dropped"]["results"]["queue_full"])
        whole = CounterMetricFamily(
            "ferengine_blurred_whole", "Frames blurred as a whole, as no detection came in time.", labels=["output"]
        )
        for name, count in summary["blurred_whole"].items():
            whole.add_metric([name], count)
        yield from (latency, restarts, memory, cpu, lost, whole)

    def _service(self) -> Iterator[_Family]:
        hub, live = self._context.hub, self._context.live
        yield GaugeMetricFamily("ferengine_service_viewers", "Clients that watch video.", live.viewers)
        yield GaugeMetricFamily("ferengine_service_listeners", "Clients that take results.", hub.listeners)
        yield CounterMetricFamily("ferengine_service_dropped", "Results that slow clients missed.", hub.dropped)
        skipped = CounterMetricFamily("ferengine_service_skipped", "Video frames that slow clients missed.", labels=["camera"])
        for name, counts in live.counts().items():
            skipped.add_metric([name], int(counts["skipped"] or 0))
        yield skipped


def metrics_text(context: Context) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_EngineCollector(context))
    return generate_latest(registry)
