"""``python -m ferengine`` is the command ``ferengine``."""

from ferengine.cli.app import main

main()
