"""Cameras that give still images over HTTP: each request is answered with the present image."""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Callable
from urllib.parse import quote, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from ferengine.errors import CredentialsError, MissingDependencyError, SourceError
from ferengine.sources.base import CapturedFrame, FirstFrameSource, Kept, SourceInfo
from ferengine.sources.clock import wall_clock
from ferengine.sources.credentials import answer_challenge, refused_credentials
from ferengine.sources.images import decode_images
from ferengine.sources.redirects import REDIRECTS, allowed_target, http_connection
from ferengine.sources.stream import MAX_REDIRECTS, NoVideoError, StreamSource
from ferengine.sources.url import redact_url
from ferengine.sources.wrappers import SourceWrapper

SNAPSHOT_RATE = 2.0
"""Images per second that are asked for, unless a rate is given: what the small processors of such cameras can give."""
_MAX_BYTES = 64 << 20
"""Bytes of an image."""
_MAX_BROKEN = 5
"""Answers in a row without an image that can be decoded, after which the camera counts as disconnected."""
_MAX_IGNORED = 1 << 16
"""Bytes of an answer that is not used, up to which they are read so that its connection can be used again."""
_STEP = 0.1
"""Seconds of waiting after which it is asked whether to stop."""
_IMAGE_TYPES = ("image/", "application/octet-stream")
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _OK = 401, 403, 404, 200
_PLAIN = "/%:=&?~+!$,;'@()*[]"
"""Characters of a path and a query that are sent as they are written."""

logger = logging.getLogger(__name__)


class NotAnImageError(SourceError):
    """The first answer is no image."""


class HttpSource(SourceWrapper):
    """What answers at a URL of HTTP: a stream, a recording, or a camera that gives still images, as only the answer shows.

    Args:
        stream: Reads it, if it is a stream or a recording.
        snapshots: Reads it, if it is a still image.
    """

    def __init__(self, stream: StreamSource, snapshots: SnapshotSource) -> None:
        super().__init__(stream)
        self._snapshots = snapshots

    def open(self) -> SourceInfo:
        """Connect and take the first frame.

        Raises:
            CredentialsError: If the user name and password are refused.
            SourceError: If nothing answers, or with nothing that can be decoded.
        """
        try:
            return self._source.open()
        except NoVideoError as error:
            self._source.close()
            self._source = self._snapshots
            try:
                return self._source.open()
            except NotAnImageError:
                raise error from None

    def read(self) -> CapturedFrame | None:
        """Return the next frame, or None at the end."""
        return self._source.read()


class SnapshotSource(FirstFrameSource):
    """The images that a camera gives when it is asked, at a steady rate, for as long as it answers.

    Frames are stamped with the time of day at which their image has come. An answer that cannot be decoded is passed over
    and counted in ``broken_frames``. The connection is kept between requests where the camera keeps it. Redirects are
    followed on the camera's host alone. Errors show no more of the URL than scheme, host and port.

    Args:
        url: An http or https URL, with credentials or without.
        fps: Images per second that are asked for.
        timeout: Seconds after which a camera that does not answer, or not to the end, is given up.
        sleep: Waits for some seconds.
        stopped: Asked while it waits for the next image to be due; true ends it.
    """

    def __init__(
        self,
        url: str,
        *,
        fps: float = SNAPSHOT_RATE,
        timeout: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._where = redact_url(url)
        self._requests = _Requests(url, timeout)
        self._fps = fps
        self._sleep = sleep
        self._stopped = stopped
        self._due = 0.0
        self._replaced = 0

    @property
    def replaced_stamps(self) -> int:
        """Frames so far that came while the system's clock was behind."""
        return self._replaced

    def open(self) -> SourceInfo:
        """Ask for the first image: it gives the size.

        Raises:
            CredentialsError: If the user name and password are refused.
            NotAnImageError: If the answer is none.
            SourceError: If nothing answers, or with an error.
        """
        self._due = time.monotonic() + 1 / self._fps
        image = self._decode_answer(self._requests.get())
        if image is None:
            raise NotAnImageError(f"{self._where} answers, but not with an image")
        logger.info("%s gives still images: it is asked for %g a second", self._where, self._fps)
        self._first = self._stamped(image)
        height, width = image.shape[:2]
        return SourceInfo(width, height, self._fps, live=True, ends=False)

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Do nothing: what has passed is gone."""

    def close(self) -> None:
        """Disconnect."""
        self._first = None
        self._requests.close()

    def _decode(self) -> CapturedFrame | None:
        for _ in range(_MAX_BROKEN):
            if not self._wait():
                return None
            image = self._decode_answer(self._requests.get())
            if image is not None:
                return self._stamped(image)
            self.broken_frames += 1
        raise SourceError(f"{self._where} answers, but no longer with images that can be decoded")

    def _decode_answer(self, data: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        try:
            images = decode_images(data, 1)
        except (SourceError, MissingDependencyError) as error:
            raise type(error)(f"the image of {self._where} {error}") from None
        return images[0] if images else None

    def _wait(self) -> bool:
        """Wait until the next image is due; false if the source is stopped meanwhile."""
        while (left := self._due - time.monotonic()) > 0 and not self._stopped():
            self._sleep(min(left, _STEP))
        self._due = max(self._due, time.monotonic() - 1 / self._fps) + 1 / self._fps
        return not self._stopped()

    def _stamped(self, image: NDArray[np.uint8]) -> CapturedFrame:
        replaced, now = wall_clock.replaced, wall_clock.stamp()
        self._replaced += wall_clock.replaced - replaced
        return CapturedFrame(image, now)


class _Requests:
    """Asks for one URL again and again, over one connection where the server keeps it.

    Args:
        url: The URL, with credentials or without.
        timeout: Seconds for each answer to begin, and to come whole.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._where = redact_url(url)
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def get(self) -> NDArray[np.uint8]:
        """Return the bytes of the answer, uint8 (N,). Raises SourceError."""
        kept = self._connection is not None
        try:
            return self._follow()
        except TimeoutError:
            self.close()
            raise SourceError(f"{self._where} stopped sending frames (waited {self._timeout:g} s)") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not (kept and isinstance(error, ConnectionError)):
                raise SourceError(f"{self._where} broke off: {_reason(error)}") from None
        return self.get()  # the camera has closed the connection that it kept: a new one

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _follow(self) -> NDArray[np.uint8]:
        url = self._url
        for _ in range(1 + MAX_REDIRECTS):
            answer = self._ask(url)
            location = answer.getheader("Location") if answer.status in REDIRECTS else None
            if location is None:
                return self._read(answer)
            self.close()  # it may lead to another port
            url = allowed_target(url, location)
        raise SourceError(f"{self._where} redirects in a circle")

    def _ask(self, url: str) -> http.client.HTTPResponse:
        """The answer, after the credentials where they are asked for."""
        parts = urlsplit(url)
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_PLAIN)
        answer = self._request(url, target, {})
        if answer.status == _UNAUTHORISED and parts.username is not None:
            challenges = answer.headers.get_all("WWW-Authenticate", [])
            user, password = unquote(parts.username), unquote(parts.password or "")
            given = answer_challenge(challenges, user, password, "GET", target)
            if given is not None:
                answer.read(_MAX_IGNORED)
                if not answer.isclosed():
                    self.close()
                answer = self._request(url, target, {"Authorization": given})
        if answer.status in (_UNAUTHORISED, _FORBIDDEN):
            raise CredentialsError(refused_credentials(self._where, answer.status))
        if answer.status == _NOT_FOUND:
            raise SourceError(f"{self._where} has no such image (404): check the path in its URL")
        if answer.status != _OK and answer.status not in REDIRECTS:
            raise SourceError(f"{self._where} answers with an error ({answer.status} {answer.reason})")
        return answer

    def _request(self, url: str, target: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = http_connection(url, self._timeout)
        self._connection.request("GET", target, headers=headers)
        return self._connection.getresponse()

    def _read(self, answer: http.client.HTTPResponse) -> NDArray[np.uint8]:
        if not answer.headers.get("Content-Type", "image/").lower().startswith(_IMAGE_TYPES):
            raise NotAnImageError(f"{self._where} answers, but not with an image")  # what may have no end is not read
        ends = time.monotonic() + self._timeout
        data = bytearray()
        while part := answer.read1(1 << 16):
            data += part
            if len(data) > _MAX_BYTES:
                raise SourceError(f"the image of {self._where} has more than {_MAX_BYTES >> 20} MiB")
            if time.monotonic() > ends:
                raise TimeoutError
        rest = answer.length
        answer.close()  # else the connection takes no further request
        if rest:
            raise http.client.IncompleteRead(b"", rest)
        return np.frombuffer(data, np.uint8)


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "its image is cut off"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
