"""The page, the REST interface and the metrics of ferengine below a path of one's own application.

python mounted_service.py demo --port 8000
Open http://127.0.0.1:8000/faces/
curl http://127.0.0.1:8000/faces/api/cameras
"""

import argparse
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from ferengine import Engine
from ferengine.service.app import create_app
from ferengine.sources import parse_source

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("sources", nargs="*", help="files, camera numbers or demo; files play at their own rate, again and again")
parser.add_argument("--port", type=int, default=8000)
arguments = parser.parse_args()

engine = Engine([parse_source(text, pace="native", loop=0) for text in arguments.sources], keep_open=True)
faces = create_app(engine)  # with token="..." where other machines reach it


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    # A mounted application has no beginning and end of its own: give it those of the application around it.
    async with engine, faces.router.lifespan_context(faces):
        yield


async def home(request: Request) -> HTMLResponse:
    return HTMLResponse(f'{len(engine.cameras)} cameras: <a href="faces/">look at them</a>')


app = Starlette(routes=[Route("/", home), Mount("/faces", faces)], lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", timeout_graceful_shutdown=3)
