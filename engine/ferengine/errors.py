"""Errors that a user can act on: each message names the thing that is wrong and the hint.

The command line prints the message alone and exits with ``exit_code``; everything else that escapes is a defect.
"""

from __future__ import annotations


class FerengineError(Exception):
    """Base of all errors that ferengine raises on purpose (exit code 1)."""

    exit_code = 1


class UsageError(FerengineError, ValueError):
    """An argument or option makes no sense (exit code 2)."""

    exit_code = 2


class MissingDependencyError(FerengineError, ImportError):
    """A package or a system library that the request needs is not installed."""


class SourceError(FerengineError):
    """A camera, file or stream cannot be opened or read."""


class CredentialsError(SourceError):
    """A stream refuses the user name and password, or wants some; trying again would only lock the account."""


class ModelError(FerengineError):
    """A model, its manifest or its weights are missing, damaged or of the wrong shape."""


class DeviceError(FerengineError):
    """A GPU is out of memory, was lost, or its driver does not fit."""


class SinkError(FerengineError):
    """An output cannot be created or written."""


class WorkerError(FerengineError):
    """A worker process failed for good: it could not start, or died more often than the restart limit allows."""


class EngineStoppedError(FerengineError):
    """The engine has stopped: it takes neither sources nor consumers any more."""
