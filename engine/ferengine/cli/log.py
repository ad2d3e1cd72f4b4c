"""Log lines on a terminal that also shows a live table."""

from __future__ import annotations

import logging

from rich.console import Console
from rich.text import Text


class _ConsoleHandler(logging.Handler):
    """Prints above the live display of ``console``."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(Text(self.format(record)), soft_wrap=True)


def log_to(console: Console, level: str) -> None:
    """Send this process's log records of ``level`` and above to ``console``, one line each."""
    handler = _ConsoleHandler(console)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
