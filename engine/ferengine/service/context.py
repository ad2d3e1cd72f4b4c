"""What the handlers of one application share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from ferengine.engine import Engine
from ferengine.service.access import Sessions
from ferengine.service.analysis import ImageAnalysis
from ferengine.service.bodies import Bodies
from ferengine.service.cameras import CameraBook
from ferengine.service.hub import Hub
from ferengine.service.live import Live


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one application.

    Attributes:
        engine: The engine that is shown.
        cameras: Its cameras.
        hub: Its results.
        live: Its video.
        analysis: Reads images; ``None`` where that is turned off.
        sessions: Checks tokens; ``None`` where none is needed.
        bodies: Bodies of requests that are on their way.
    """

    engine: Engine
    cameras: CameraBook
    hub: Hub
    live: Live
    analysis: ImageAnalysis | None
    sessions: Sessions | None
    bodies: Bodies

    def start(self) -> None:
        """Begin to take results, on the running loop; with the first request at the latest."""
        self.hub.start()

    async def forget(self, camera: str) -> None:
        """The camera is removed or paused: end its video, empty its timeline, and say that everybody has left."""
        await self.live.forget(camera)
        self.hub.forget(camera)

    async def close(self) -> None:
        """End all that was begun: uploads, streams, encoders, the process for images."""
        self.bodies.end()
        await self.live.close()
        await self.hub.close()
        if self.analysis is not None:
            await self.analysis.close()


def context_of(request: HTTPConnection) -> Context:
    """The parts of the application that a request is for."""
    context: Context = request.app.state.context
    context.start()
    return context
