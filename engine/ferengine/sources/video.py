"""Video files, decoded by PyAV's FFmpeg."""

from __future__ import annotations

import logging
import os
import stat
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import av
import av.error

from ferengine.errors import SourceError
from ferengine.sources.base import CapturedFrame, FirstFrameSource, Kept, SourceInfo
from ferengine.sources.clock import FALLBACK_RATE, MediaClock
from ferengine.sources.decoder import Decoder, declared_seconds, open_container, video_stream
from ferengine.sources.nvdec import open_decoder
from ferengine.sources.seeking import FrameTable, Place, find_place, read_frame_table
from ferengine.sources.truncation import find_cut_fragment, find_truncation
from ferengine.sources.url import no_file, show_path

_SEEK_FROM = 100
"""Frames from which it is quicker to seek than to decode."""
_MAX_FAILURES = 1000
"""Errors in a row after which the rest of a damaged file is given up."""
_WHOLE_INDEX = 0.8
"""Fraction of an AVI that its index covers, if it is not cut off."""
_TEXTS = frozenset({"tty", "bin", "xbin", "adf", "idf", "vobsub"})
"""FFmpeg's formats for texts, of which it makes a video that shows a terminal."""
_PROTOCOLS = "file,subfile,crypto,data"
"""What a file may lead to: other files, in a playlist that the user has opened, but no network."""

logger = logging.getLogger(__name__)


class VideoFileSource(FirstFrameSource):
    """The frames of a video file.

    Time stamps are media seconds from 0; they strictly increase and continue over the loops. Stamps that are missing or make
    no sense are replaced by the nominal rate and counted in ``replaced_stamps``. Frames are rotated upright where the file
    says how, interlaced ones become whole images, and pixels become square.

    Frames that cannot be decoded are passed over and counted in ``broken_frames`` at the end of each loop: exactly if the
    container has an index of its frames (MP4, MOV, AVI), else at least one for each damaged place. A file that was cut off is
    recognised at its end (``truncated``) where its container says how long it should be, or breaks off within a packet.

    Args:
        path: The file.
        loop: How often it is played; 0 for ever.
        threads: Threads of the decoder. One is enough, since more gain nothing on the slices that files usually have.
        decoder: What decodes: "cpu" or "nvdec".
    """

    def __init__(self, path: str | Path, loop: int = 1, threads: int = 1, decoder: str = "cpu") -> None:
        super().__init__()
        self._path = Path(path)
        self._loop = loop
        self._threads = threads
        self._decoder_name = decoder
        self._container: av.container.InputContainer | None = None
        self._images: Iterator[av.VideoFrame] = iter(())
        self._loops_done = 0
        self._delivered = 0  # in this loop
        self._indexed = 0
        self._opened_size = 0
        self._clock = MediaClock(1 / FALLBACK_RATE)

    @property
    def replaced_stamps(self) -> int:
        """Time stamps so far that were missing or made no sense."""
        return self._clock.replaced

    def open(self) -> SourceInfo:
        """Open the file and decode its first frame: only it gives the size after rotation.

        Raises:
            SourceError: For a missing or unreadable file, a folder, a pipe, and a file that is not a video.
        """
        self._opened_size = _check_readable(self._path)
        self._container = self._open_container()
        self._rate = self._start(self._container)
        self._clock = self._new_clock()
        stream = video_stream(self._container)
        assert stream is not None
        seconds = declared_seconds(self._container, stream)
        frames, looped = self._indexed * self._loop or None, seconds and seconds * self._loop
        self._first = self._decode()
        if self._first is None:
            raise SourceError(f"{show_path(self._path)} holds no frame that can be decoded")
        height, width = self._first.shape[:2]
        return SourceInfo(width, height, self._rate, live=False, frames=frames, seconds=looped or None)

    def skip(self, frames: int | None, last: float | None = None, kept: Kept | None = None) -> None:
        """Pass over ``frames`` frames, by seeking where the file's time stamps allow it.

        Where they are None, and ``kept`` does not say it, it is not known how many of the frames passed over could be decoded:
        ``broken_frames`` then counts those behind them.
        """
        about = (last or 0.0) * self._rate if frames is None else frames
        if about < _SEEK_FROM or self._first is None or not self._seek(frames, last, kept):
            super().skip(frames, last, kept)

    def close(self) -> None:
        """Close the file."""
        self._images, self._first = iter(()), None
        if self._container is not None:
            self._container.close()
        self._container = None

    def _open_container(self) -> av.container.InputContainer:
        shown = show_path(self._path)
        unreadable = SourceError(f"{shown} is not a video that FFmpeg can read, or it is cut off or damaged")
        try:
            container = _open(self._path)
        except (av.FFmpegError, ValueError):
            raise unreadable from None
        stream = video_stream(container)
        if container.format.name in _TEXTS:
            container.close()
            raise SourceError(f"{shown} is text, not a video")
        if stream is not None and stream.codec_context is not None:
            return container
        kinds = ", ".join(sorted({other.type for other in container.streams if other.type != "video"})) or "nothing"
        cover = " and a cover image" if container.streams.video else ""
        container.close()
        if stream is not None:
            name = show_path(self._path.name)
            raise SourceError(f"{shown} is in a codec that cannot be decoded: convert it (ffmpeg -i {name} converted.mp4)")
        if kinds == "data":  # what FFmpeg finds in an MP4 of which only the beginning is there
            raise unreadable
        raise SourceError(f"{shown} holds no video: it holds {kinds}{cover} only")

    def _new_clock(self) -> MediaClock:
        return MediaClock(1 / self._rate, self._decoder.start, look_ahead=self._look_ahead)

    def _look_ahead(self) -> list[float]:
        return self._decoder.look_ahead()  # of this loop

    def _start(self, container: av.container.InputContainer) -> float:
        """Begin a loop; returns the nominal rate."""
        stream = video_stream(container)
        assert stream is not None
        self._decoder = open_decoder(self._decoder_name, container, stream, self._threads, show_path(self._path))
        self._images = self._read_images(self._decoder)
        self._delivered = 0
        self._indexed = _indexed_frames(container)
        try:
            return self._decoder.read_rate()
        except av.FFmpegError:  # damaged near its beginning: what can be read behind that is found out when frames are taken
            self._decoder.broken += 1
            self._decoder.resume()
            return self._decoder.read_rate(0)

    def _read_images(self, decoder: Decoder) -> Iterator[av.VideoFrame]:
        failures = 0
        while failures < _MAX_FAILURES:
            try:
                for images in decoder.frames():
                    if images:
                        failures = 0
                    yield from images
            except av.FFmpegError:
                decoder.broken += failures == 0
                failures += 1
                decoder.resume()
            else:
                return

    def _decode(self) -> CapturedFrame | None:
        image = self._next_image()
        if image is None:
            return None
        return self._decoder.capture(image, self._clock.stamp(image.time))

    def _pass_over(self) -> float | None:
        image = self._next_image()
        return None if image is None else self._clock.stamp(image.time)

    def _next_image(self) -> av.VideoFrame | None:
        """The next frame, over damaged places and into the next loop; None at the end."""
        while self._container is not None:
            image = next(self._images, None)
            if image is not None:
                self._delivered += 1
                return image
            self._finish_loop()
            if self._delivered == 0 or self._loops_done == self._loop:
                self.close()
            else:
                self._restart()
        return None

    def _restart(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = self._open_container()
        self._start(self._container)
        self._clock.restart()

    def _finish_loop(self) -> None:
        self._loops_done += 1
        indexed = self._indexed - self._decoder.discarded
        broken = max(0, indexed - self._delivered) if indexed > 0 else self._decoder.broken
        if broken:
            logger.warning("%s: %d frames could not be decoded", show_path(self._path.name), broken)
        self.broken_frames += broken
        if not self.truncated and self._container is not None:
            self._look_for_truncation(self._container)

    def _look_for_truncation(self, container: av.container.InputContainer) -> None:
        duration = container.duration / av.time_base if container.duration else None
        found = find_truncation(
            self._path,
            container.format.name,
            duration,
            mid_packet=self._decoder.mid_packet,
            mid_frame=self._decoder.mid_frame,
            opened_size=self._opened_size,
        )
        if found is not None:
            self.truncated = True
            logger.warning("%s is cut off: %s", show_path(self._path.name), found)

    def _seek(self, frames: int | None, last: float | None, kept: Kept | None) -> bool:
        """Go to frame ``frames``, or behind ``last``, as if all before had been read; False where that is not surely exact."""
        with self._open_container() as container:
            stream = video_stream(container)
            assert stream is not None
            table, time_base = read_frame_table(container, stream), stream.time_base
        if table is None or not time_base:
            return False
        seconds = [float(stamp * time_base) for stamp in table.stamps]
        clock = MediaClock(1 / self._rate, self._decoder.start)  # it cannot look ahead until the decoder has come to the place
        place = find_place(clock, seconds, frames, last, kept)
        if place is None or place.loops > self._loop > 0:
            return False
        at_end = place.loops == self._loop > 0
        if at_end:
            place = Place(place.loops - 1, len(seconds) - 1, 0)
        keyframes = table.keyframes_before(place.index)
        if not keyframes:
            return False
        image = self._decode_at(table, place.index, keyframes)
        if image is None:
            self._restart()
            self._clock = self._new_clock()
            self._first = self._decode()
            return False
        self._loops_done, self._delivered = place.loops, place.index - place.broken + 1
        self._decoder.broken += place.broken
        self._clock = clock
        clock.look_ahead = self._look_ahead
        self._first = None if at_end else self._decoder.capture(image, clock.stamp(image.time))
        return True

    def _decode_at(self, table: FrameTable, index: int, keyframes: list[int]) -> av.VideoFrame | None:
        """Frame ``index``, decoded from the first of these key frames that can be reached; None if from there on the frames are
        not those of the table, one by one."""
        for keyframe in keyframes:
            self._restart()
            try:
                if keyframe != table.keyframes[0]:  # there the file begins
                    self._decoder.seek(keyframe)
            except av.FFmpegError:
                return None
            image = next(self._images, None)
            if image is None or image.pts is None or image.pts > keyframes[0]:
                continue
            while image is not None and image.pts is not None and image.pts < keyframe:
                image = next(self._images, None)
            if image is None or image.pts is None:
                return None
            for stamp in table.stamps[bisect_left(table.stamps, image.pts) : index]:
                if image is None or image.pts != stamp:
                    return None
                image = next(self._images, None)
            return image if image is not None and image.pts == table.stamps[index] else None
        return None


def _open(path: Path) -> av.container.InputContainer:
    """Open a file, up to a last fragment of an MP4 whose header is cut off."""
    name = str(path.absolute())  # begins with a slash, so FFmpeg takes no colon in it for a protocol
    options = {"protocol_whitelist": _PROTOCOLS, "pattern_type": "none"}  # a % in an image's name leads to no other files
    try:
        return open_container(name, options)
    except (av.error.InvalidDataError, av.error.EOFError):
        whole = find_cut_fragment(path)
        if not whole:
            raise
    return open_container(f"subfile,,start,0,end,{whole},,:{name}", options)


def _indexed_frames(container: av.container.InputContainer) -> int:
    """How many frames the container's own index lists, 0 if it has none."""
    stream = video_stream(container)
    if stream is None or not stream.frames:
        return 0
    entries = stream.index_entries
    if container.format.name.startswith("mov,"):
        return len(entries)  # the header also counts frames that an edit list leaves out
    if container.format.name == "avi" and len(entries) and entries[-1].timestamp >= _WHOLE_INDEX * stream.frames:
        return len(entries)  # the header also counts chunks that hold nothing, which repeat the frame before
    return int(stream.frames)


def _check_readable(path: Path) -> int:
    """Return the bytes of a file; raises SourceError that says why ``path`` cannot be a readable one."""
    shown = show_path(path)
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib's own raises for what is no error here
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise SourceError(f"{shown} is a folder, not a video file")
        if not stat.S_ISREG(mode):
            raise SourceError(f"{shown} is a {_kind(mode)}, and a source has to be a file: save its data to one first")
        with path.open("rb") as file:
            empty = not file.read(1)  # some of the system's own files have no size
    except FileNotFoundError:
        raise SourceError(no_file(path)) from None
    except PermissionError:
        raise SourceError(f"{shown} cannot be read: permission denied (see ls -l {shown})") from None
    except OSError as error:
        raise SourceError(f"{shown} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SourceError(f"{shown!r} is no path: it holds a zero byte") from None
    if empty:
        raise SourceError(f"{shown} is empty")
    return status.st_size


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"
