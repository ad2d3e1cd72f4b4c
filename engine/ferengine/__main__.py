"""The command ``ferengine``, also as ``python -m ferengine``."""

from __future__ import annotations

from ferengine.cli.process_title import hide_arguments


def main() -> None:
    """Hide credentials among the arguments, before the imports that take their time; then run the command."""
    hide_arguments()
    from ferengine.cli.app import main as run_command

    run_command()


if __name__ == "__main__":
    main()
