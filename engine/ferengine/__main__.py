"""The command ``ferengine``, also as ``python -m ferengine``."""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import sys

_OUTPUT_FAILED = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Run the command; a package that ferengine requires, and that was removed or left out, is one line."""
    try:
        _run()
    except ModuleNotFoundError as error:
        from ferengine.pip_hint import missing_package

        said = missing_package(error)
        if said is None:
            raise
        sys.stderr.write(f"error: {said}\n")
        sys.exit(1)
    finally:
        gc.freeze()  # at its end the interpreter searches all objects for cycles, which takes a fifth of a short command


def _run() -> None:
    """Hide credentials among the arguments, before the slow imports; then run the command.

    Ctrl-C ends the process at once and without a message until the command has something to end cleanly.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # otherwise the caller ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no KeyboardInterrupt from within an import, so all of ours follow
    from ferengine.cli.redaction import hide_arguments, refuse_stray_urls
    from ferengine.errors import UsageError

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file's name goes out as it came in, whatever its bytes
    hide_arguments()
    try:
        refuse_stray_urls(sys.argv[1:])
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    from ferengine.cli.app import main as run_command

    try:
        try:
            run_command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # a failure is reported here, not by the interpreter at its end
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # from a worker or from an import here
            sys.stderr.write("error: too many files are open: raise the limit (ulimit -n)\n")
            sys.exit(1)
        if error.errno not in _OUTPUT_FAILED or error.filename is not None:
            raise
        if error.errno != errno.EPIPE:  # a reader that stopped reading needs no message
            sys.stderr.write(f"error: standard output cannot be written: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter writes once more at its end
        sys.exit(1)
    except RuntimeError as error:
        from ferengine.ipc.machine import refusal

        said = refusal(error)  # a thread, as under ulimit -u
        if said is None:
            raise
        sys.stderr.write(f"error: the system refuses what the program needs ({said})\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
