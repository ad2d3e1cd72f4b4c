"""The command ``ferengine``, also as ``python -m ferengine``."""

from __future__ import annotations

import errno
import os
import signal
import sys

from ferengine.cli.redaction import hide_arguments, refuse_stray_addresses
from ferengine.errors import UsageError

_OUTPUT_FAILED = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Hide credentials among the arguments, before the imports that take their time; then run the command.

    Ctrl-C ends it at once and without a word, until the command has something to end cleanly.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the caller has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no KeyboardInterrupt out of an import
    hide_arguments()
    try:
        refuse_stray_addresses(sys.argv[1:])
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    from ferengine.cli.app import main as run_command

    try:
        try:
            run_command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # what does not fit is told here, not by the interpreter at its end
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # whoever comes first is told: a worker, or an import here
            sys.stderr.write("error: too many files are open: raise the limit (ulimit -n)\n")
            sys.exit(1)
        if error.errno not in _OUTPUT_FAILED or error.filename is not None:
            raise
        if error.errno != errno.EPIPE:  # a reader that has had enough needs no message
            sys.stderr.write(f"error: standard output cannot be written: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter tries once more at its end
        sys.exit(1)


if __name__ == "__main__":
    main()
