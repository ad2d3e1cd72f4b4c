"""The command ``ferengine``, also as ``python -m ferengine``."""

from __future__ import annotations

import sys

from ferengine.cli.addresses import hide_arguments, refuse_stray_addresses
from ferengine.errors import UsageError


def main() -> None:
    """Hide credentials among the arguments, before the imports that take their time; then run the command."""
    hide_arguments()
    try:
        refuse_stray_addresses(sys.argv[1:])
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    from ferengine.cli.app import main as run_command

    run_command()


if __name__ == "__main__":
    main()
