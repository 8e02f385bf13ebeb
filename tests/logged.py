"""What a process would log, line by line, without making this one log for good."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import structlog
from structlog.contextvars import clear_contextvars

from models.logs import LogSettings, configure


class Lines:
    """Everything logged so far."""

    def __init__(self) -> None:
        self.out = io.StringIO()

    @property
    def text(self) -> str:
        return self.out.getvalue()

    @property
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def of(self, event: str) -> list[dict[str, Any]]:
        """Those of one event."""
        return [line for line in self.all if line["event"] == event]


@contextlib.contextmanager
def logged() -> Iterator[Lines]:
    """Logs as a process that was just started."""
    lines, root, before = Lines(), logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    clear_contextvars()
    try:
        configure(LogSettings(), lines.out)
        # Else every logger that is used here would stay as it is now.
        structlog.configure(cache_logger_on_first_use=False)
        yield lines
    finally:
        clear_contextvars()
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
