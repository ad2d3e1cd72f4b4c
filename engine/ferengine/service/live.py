"""Live video of the cameras: encoded once each, while a client watches, and given to all who do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferengine.engine import Engine
from ferengine.errors import MissingDependencyError, ServiceError
from ferengine.ipc.child import Child
from ferengine.results import Box, FrameResult
from ferengine.runtime.consumers import CallbackSubscription
from ferengine.service.fragments import TIMESCALE
from ferengine.service.messages import Encode, Encoded, video_message
from ferengine.sinks.blur_plan import BlurPlan
from ferengine.stages.child import start_child

Kind: TypeAlias = Literal["video", "jpeg"]

MAX_FPS = 25.0
"""Frames a second that are encoded at most; those of a faster camera are thinned out."""
QUEUE = 24
"""Frames that may wait for one client; then it is taken to the live edge."""
_START_SECONDS = 60.0
"""Seconds that an encoder gets to start and encode its first frame: on a machine that is overloaded it has what is left."""
_ANSWER_SECONDS = 20.0
_END_SECONDS = 2.0
"""Seconds that an encoder gets for the frame that it has."""
_DEATHS = 3
"""Deaths of its encoder without a frame in between after which a camera's video is given up."""
_LINGER = 10.0
"""Seconds that the encoder stays after the last client has left."""

log = logging.getLogger("ferengine")


@dataclass(frozen=True)
class LiveFrame:
    """One frame on its way to the clients.

    Attributes:
        time: When it is shown, in seconds from the beginning of the video.
        result: What was read in it.
        size: Width and height of the camera's frame, which the boxes of the result refer to.
        encoded: The frame.
        prior: The name of the class prior that the result was read under.
    """

    time: float
    result: FrameResult
    size: tuple[int, int]
    encoded: Encoded
    prior: str | None = None

    @cached_property
    def message(self) -> bytes:
        """As a viewer of the video gets it: made once for all of them."""
        return self._message({})

    def message_after(self, skipped: int) -> bytes:
        """As a viewer gets it that has missed ``skipped`` frames just before."""
        return self._message({"skipped": skipped})

    def _message(self, more: dict[str, Any]) -> bytes:
        result = self.result.to_dict() | ({} if self.prior is None else {"prior": self.prior})
        head = {"time": round(self.time, 6), "key": self.encoded.key, "size": self.size, "result": result}
        return video_message(head | more, self.encoded.fragment)


class Viewer:
    """One client of a camera. Belongs to the service's loop.

    Attributes:
        skipped: Frames that it missed because it was too slow.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.skipped = 0
        self.error: str | None = None
        self.wants_key = True
        self._frames: deque[LiveFrame] = deque()
        self._arrived = asyncio.Event()
        self._ended = False

    def offer(self, frame: LiveFrame) -> int:
        """Queue a frame; returns how many were skipped for it."""
        if self.kind == "video":
            if not frame.encoded.fragment:
                return 0
            if self.wants_key and not frame.encoded.key:
                return 0
            self.wants_key = False
        elif not frame.encoded.jpeg:
            return 0
        skipped = 0
        limit = QUEUE if self.kind == "video" else 1
        if len(self._frames) >= limit:
            skipped = len(self._frames)
            self._frames.clear()
            if self.kind == "video":  # what is left can be decoded only from the next key frame on
                self.wants_key = True
                skipped += 1
            self.skipped += skipped
        if not self.wants_key or self.kind == "jpeg":
            self._frames.append(frame)
            self._arrived.set()
        return skipped

    def end(self, error: str | None = None) -> None:
        """No more frames come, for a reason or because the camera is gone."""
        self.error = error
        self._ended = True
        self._arrived.set()

    async def take(self) -> LiveFrame | None:
        """The next frame; ``None`` after the end."""
        while not self._frames:
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.popleft()


class CameraVideo:
    """The video of one camera: frames on loan from the engine, an encoder process, and those who watch.

    ``_encode`` runs in the thread of the engine's subscription, all else on the service's loop.

    Attributes:
        frames: Frames that were encoded.
        skipped: Frames that clients missed because they were too slow.
        error: Why there is no video any more.
    """

    def __init__(self, engine: Engine, camera: str, loop: asyncio.AbstractEventLoop) -> None:
        self.camera = camera
        self.frames = self.skipped = 0
        self.error: str | None = None
        self.viewers: set[Viewer] = set()
        self._engine = engine
        self._loop = loop
        self._subscription: CallbackSubscription | None = None
        self._child: Child | None = None
        self._deaths = 0
        self._memory = -1
        self._mapped: mmap.mmap | None = None
        self._wanted: frozenset[Kind] = frozenset()
        self._key_wanted = False
        self._origin: float | None = None
        self._last_time = -1
        self._due = 0.0
        self._waiting = 0
        self._plan: BlurPlan[tuple[FrameResult, NDArray[np.uint8]]] | None = None
        self._begun: tuple[str, bytes] = ("", b"")

    @property
    def head(self) -> tuple[str, bytes]:
        """The type of the video and its init segment, as they were last."""
        return self._begun

    async def open(self) -> None:
        """Begin to take frames."""
        self._subscription = await asyncio.to_thread(
            self._engine.subscribe, self._encode, frames=True, cameras=[self.camera], queue=2, policy="drop_oldest",
            name=f"live {self.camera}",
        )  # fmt: skip

    async def close(self, error: str | None = None) -> None:
        """Take no more frames, and end the encoder; may be called twice."""
        for viewer in self.viewers:
            viewer.end(error)
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.cancel()
            await asyncio.to_thread(self._release, subscription)

    def _release(self, subscription: CallbackSubscription) -> None:
        if not subscription.join(_END_SECONDS) and (child := self._child) is not None:
            child.kill()  # it does not answer
        subscription.join()
        if self._child is not None:
            self._child.close()
            self._child = None
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def join(self, viewer: Viewer) -> None:
        """A client begins to watch."""
        self.viewers.add(viewer)
        self._note_wanted()

    def leave(self, viewer: Viewer) -> None:
        """It does so no more."""
        self.viewers.discard(viewer)
        self._note_wanted()

    def _note_wanted(self) -> None:
        self._wanted = frozenset(viewer.kind for viewer in self.viewers)
        self._key_wanted = any(viewer.wants_key for viewer in self.viewers if viewer.kind == "video")

    def _encode(self, result: FrameResult, image: NDArray[np.uint8]) -> None:
        captured = result.timings.captured
        if not self._wanted:
            self._plan = None  # what it holds back is old when a client watches again
        if not self._wanted or self._deaths >= _DEATHS or captured < self._due or self._waiting > 1:
            return
        self._due = max(self._due + 1 / MAX_FPS, captured - 1 / MAX_FPS) if self._due else captured
        if self._engine.blur_frames is None:
            self._send(result, image, [])
            return
        self._plan = self._plan or BlurPlan(self._engine.blur_frames)
        for (earlier, held), boxes in self._plan.add((result, image.copy()), result, image.shape[1::-1]):
            self._send(earlier, held, boxes)

    def _send(self, result: FrameResult, image: NDArray[np.uint8], blur: list[Box]) -> None:
        captured, wanted = result.timings.captured, self._wanted
        if self._origin is None:
            self._origin = captured
        self._last_time = max(self._last_time + 1, round((captured - self._origin) * TIMESCALE))
        height, width = image.shape[:2]
        video = "video" in wanted and self.error is None
        request = Encode(width, height, self._last_time, video, self._key_wanted, "jpeg" in wanted, tuple(blur))
        self._copy(image)
        try:
            patience = _ANSWER_SECONDS
            if self._child is None:
                self._child, patience = (
                    start_child("ferengine.service.encoder", f"live {self.camera}", [self._memory]),
                    _START_SECONDS,
                )
            encoded = Encoded.decode(self._child.ask(request.encode(), patience))
        except TimeoutError:
            self._note_death("the encoder did not answer")
            return
        except ServiceError as error:
            self._note_death(str(error))
            return
        except MissingDependencyError as error:
            self._note_death(str(error), for_good=True)
            return
        self._deaths = 0
        if encoded.error:
            self.error = encoded.error
        prior = None if self._engine.prior is None else self._engine.prior.name
        frame = LiveFrame(self._last_time / TIMESCALE, result, (width, height), encoded, prior)
        self._waiting += 1
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._distribute, frame)

    def _copy(self, image: NDArray[np.uint8]) -> None:
        if self._memory < 0:
            self._memory = os.memfd_create("ferengine-live")
        if self._mapped is None or len(self._mapped) < image.nbytes:
            os.ftruncate(self._memory, image.nbytes)
            self._mapped = mmap.mmap(self._memory, image.nbytes)
        np.frombuffer(self._mapped, np.uint8, image.nbytes).reshape(image.shape)[:] = image

    def _note_death(self, reason: str, *, for_good: bool = False) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
        self._deaths = _DEATHS if for_good else self._deaths + 1
        log.warning("%s: its video stopped (%s)", self.camera, reason)
        if self._deaths >= _DEATHS:
            self.error = reason if for_good else f"the encoder has died {self._deaths} times"
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._give_up)

    def _distribute(self, frame: LiveFrame) -> None:
        self._waiting -= 1
        self.frames += 1
        encoded = frame.encoded
        if encoded.init:
            self._begun = (encoded.mime, encoded.init)
            for viewer in self.viewers:  # the frames before belong to another video
                viewer.wants_key = True
        for viewer in self.viewers:
            self.skipped += viewer.offer(frame)
        self._note_wanted()
        if self.error:
            self._give_up()

    def gives_none(self, kind: Kind) -> bool:
        """Whether no more frames of a kind come: where there is no video there may still be images."""
        return self._deaths >= _DEATHS if kind == "jpeg" else self.error is not None

    def _give_up(self) -> None:
        for viewer in self.viewers:
            if self.gives_none(viewer.kind):
                viewer.end(self.error)


class Live:
    """The videos of all cameras, each begun by its first client. Belongs to the service's loop.

    Args:
        engine: Where frames come from.
        max_viewers: How many clients may watch at once.
    """

    def __init__(self, engine: Engine, max_viewers: int) -> None:
        self.max_viewers = max_viewers
        self._engine = engine
        self._videos: dict[str, CameraVideo] = {}
        self._lock = asyncio.Lock()
        self._lingering: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def viewers(self) -> int:
        return sum(len(video.viewers) for video in self._videos.values())

    def counts(self) -> dict[str, dict[str, int | str | None]]:
        """Of each camera that is or was watched: clients, frames encoded, frames that slow clients missed, and the error."""
        return {
            name: {"viewers": len(video.viewers), "frames": video.frames, "skipped": video.skipped, "error": video.error}
            for name, video in list(self._videos.items())
        }

    @contextlib.asynccontextmanager
    async def watch(self, camera: str, kind: Kind) -> AsyncIterator[tuple[CameraVideo, Viewer]]:
        """Watch a camera until the block is left.

        Raises:
            ServiceError: Too many clients watch, or the service is closing.
            FerengineError: There is no such camera, or no memory for its frames.
        """
        viewer = Viewer(kind)
        async with self._lock:
            video = self._videos.get(camera)
            if self._closed:
                raise ServiceError("the service is closing")
            if self.viewers >= self.max_viewers:
                raise ServiceError(f"{self.max_viewers} clients are watching, which is the maximum: try again later")
            if video is None:
                video = CameraVideo(self._engine, camera, asyncio.get_running_loop())
                await video.open()
                self._videos[camera] = video
            video.join(viewer)
        if video.gives_none(kind):
            viewer.end(video.error)
        try:
            yield video, viewer
        finally:
            video.leave(viewer)
            if not video.viewers:
                task = asyncio.create_task(self._close_idle(video))
                self._lingering.add(task)
                task.add_done_callback(self._lingering.discard)

    async def _close_idle(self, video: CameraVideo) -> None:
        deadline = time.monotonic() + _LINGER
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(left)
            if video.viewers:
                return
        async with self._lock:
            if video.viewers or self._videos.get(video.camera) is not video:
                return
            del self._videos[video.camera]
        await video.close()

    async def forget(self, camera: str) -> None:
        """The camera is removed or paused: its clients get no more frames."""
        async with self._lock:
            video = self._videos.pop(camera, None)
        if video is not None:
            await video.close()

    async def close(self) -> None:
        """End everything; may be called twice."""
        self._closed = True
        for task in list(self._lingering):
            task.cancel()
        async with self._lock:
            videos, self._videos = list(self._videos.values()), {}
        await asyncio.gather(*(video.close() for video in videos))
