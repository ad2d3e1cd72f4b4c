"""The main program of children that answer requests: ``python -m ferengine.stages.child MODULE SOCKET TITLE [DESCRIPTOR...]``.

It runs ``main`` of the module, with the other arguments, and tells the parent which package is missing where one is.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Sequence

from ferengine.errors import MissingDependencyError
from ferengine.ipc.child import Child, say_missing
from ferengine.pip_hint import missing_package


def start_child(module: str, title: str, descriptors: Sequence[int] = ()) -> Child:
    """A child process that runs ``main`` of a module.

    Args:
        module: Its ``main`` ends in ``serve_parent``.
        title: What process lists show after ``ferengine:``.
        descriptors: Further open files that it gets.

    Raises:
        ServiceError: The system refuses what it needs.
    """
    return Child([__name__, module], title, descriptors)


def main(arguments: list[str]) -> None:
    """Run the module that the first argument names."""
    module, descriptor, *_ = arguments
    with socket.socket(fileno=os.dup(int(descriptor))) as connection:  # the module closes its own
        try:
            importlib.import_module(module).main(arguments[1:])
        except MissingDependencyError as error:
            say_missing(connection, str(error))
        except ModuleNotFoundError as error:
            missing = missing_package(error)
            if missing is None:
                raise
            say_missing(connection, missing)


if __name__ == "__main__":
    main(sys.argv[1:])
