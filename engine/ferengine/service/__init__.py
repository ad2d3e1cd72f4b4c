"""The web service: live view, API and metrics, as a server on a thread of its own or an application to mount.

``create_app`` makes the ASGI application, ``Server`` runs it. Both need the packages of the extra ``serve``; import them by
module.
"""

from importlib.util import find_spec

from ferengine.errors import MissingDependencyError
from ferengine.pip_hint import install_extra

if find_spec("starlette") is None:
    raise MissingDependencyError(f"the web service needs the package starlette: {install_extra('serve')}")
