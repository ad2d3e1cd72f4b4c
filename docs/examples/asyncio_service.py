"""A small asyncio service: the newest result of every camera as JSON, over HTTP.

python asyncio_service.py demo --port 8000
curl http://127.0.0.1:8000/            # the newest results
curl http://127.0.0.1:8000/health
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
from typing import Any

from ferengine import Engine, SourceSpec
from ferengine.sources import parse_source

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("sources", nargs="+", help="files, camera numbers or demo; files play at their own rate")
parser.add_argument("--port", type=int, default=8000, help="0 for any free one")
parser.add_argument("--seconds", type=float, help="stop after this many seconds")
arguments = parser.parse_args()

latest: dict[str, dict[str, Any]] = {}


async def collect(engine: Engine) -> None:
    async for result in engine.stream(policy="drop_oldest"):
        latest[result.camera] = result.to_dict()


async def serve(engine: Engine) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readline()
        body = latest if b" / " in request else dataclasses.asdict(engine.health())
        text = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + text)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", arguments.port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await server.serve_forever()


async def main() -> None:
    sources: list[SourceSpec] = [parse_source(text, pace="native") for text in arguments.sources]
    async with Engine(sources) as engine:
        serving = asyncio.create_task(serve(engine))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(collect(engine), arguments.seconds)  # until all sources have ended
        serving.cancel()


asyncio.run(main())
