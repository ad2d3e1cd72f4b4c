"""Expressions in a FastAPI application: the engine lives as long as the application does.

python fastapi_service.py demo --port 8000
curl http://127.0.0.1:8000/faces/demo
curl http://127.0.0.1:8000/health
"""

import argparse
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException

from ferengine import Engine, FrameResult
from ferengine.sources import parse_source

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("sources", nargs="+", help="files, camera numbers or demo; files play at their own rate")
parser.add_argument("--port", type=int, default=8000)
arguments = parser.parse_args()

latest: dict[str, FrameResult] = {}


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    sources = [parse_source(text, pace="native") for text in arguments.sources]
    async with Engine(sources) as engine:  # ends its workers with the application
        engine.subscribe(lambda result: latest.update({result.camera: result}), policy="drop_oldest")
        app.state.engine = engine
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/faces/{camera}")
def faces(camera: str) -> dict[str, Any]:
    if camera not in latest:
        raise HTTPException(404, f"there is no result of {camera}")
    return latest[camera].to_dict()


@app.get("/health")
def health() -> dict[str, Any]:
    return dataclasses.asdict(app.state.engine.health())


uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")
