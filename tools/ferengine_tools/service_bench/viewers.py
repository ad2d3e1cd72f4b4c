"""Viewers in a process of their own, as ``load`` starts them: arguments are the URL, their number, and the cameras.

Each takes the live video of every camera until standard input ends. They give way to everything else, since viewers usually
have machines of their own. A line is printed when all have video, and at the end how many frames all have taken since then.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def watch(url: str, viewers: int, cameras: Sequence[str]) -> int:
    """Watch until standard input ends; returns how many frames came after each had its first."""
    taken, waiting = 0, viewers * len(cameras)

    async def one(camera: str) -> None:
        nonlocal taken, waiting
        async with connect(f"{url.replace('http', 'ws', 1)}/api/cameras/{camera}/video", max_size=None) as video:
            await video.recv()  # the init segment
            await video.recv()
            waiting -= 1
            if not waiting:
                taken = 0
                print("watching", flush=True)
            async for _ in video:
                taken += 1

    async def guarded(camera: str) -> None:
        try:
            await one(camera)
        except (ConnectionClosed, OSError) as error:
            print(f"a viewer of {camera} was disconnected: {error}", file=sys.stderr)

    tasks = [asyncio.create_task(guarded(camera)) for camera in cameras for _ in range(viewers)]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return taken


if __name__ == "__main__":
    os.nice(19)
    print(asyncio.run(watch(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
