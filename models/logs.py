"""How every process logs: one line per event, JSON, nothing secret in it.

Ids come by context: `request_id`, `tenant_id` and `caller` in the web process,
`tenant_id`, `job_id`, `workflow_id` and `step` in a worker. What libraries log by the
standard library takes the same way out.
"""

import json
import logging
import sys
from traceback import extract_tb
from typing import Any, Final, Literal, TextIO

import structlog
from pydantic import Field
from structlog.contextvars import bind_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import (
    EventDict,
    FilteringBoundLogger,
    Processor,
    WrappedLogger,
)

from models.redaction import cleaned, redacted
from models.settings import Settings

# Ours alone, never a caller's words.
_IDS: Final = frozenset(
    {"level", "timestamp", "request_id", "tenant_id", "job_id", "workflow_id", "route"}
)
# Made once: `json.dumps` with options makes one for each line.
_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str)
_stamp: Final = structlog.processors.TimeStamper(fmt="iso", utc=True)
_CHATTY: Final = {"uvicorn.error": logging.INFO, "temporalio": logging.INFO}


class LogSettings(Settings):
    """For every process."""

    log_format: Literal["json", "text"] = Field(
        default="json", description="json for machines, or text for people"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="what is logged: debug, info, warning or error"
    )


def configure(settings: LogSettings, out: TextIO | None = None) -> None:
    """Everything that is logged from now on goes to `out`, standard output by default.

    To be called once, by whoever starts a process.
    """
    out, level = out or sys.stdout, logging.getLevelName(settings.log_level.upper())
    ending = _ending(settings.log_format)
    structlog.configure(
        processors=[
            merge_contextvars,
            structlog.processors.add_log_level,
            *ending,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    bridge = logging.StreamHandler(out)
    bridge.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
            ],
            processors=[ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [bridge]
    root.setLevel(max(level, logging.WARNING))
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(level, least))
    # uvicorn's own set-up, once made, keeps its lines from going up to the root.
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.handlers.clear()
    uvicorn.propagate = True
    logging.captureWarnings(True)


def plain() -> FilteringBoundLogger:
    """A logger for lines of which every word is ours, like a request's: to search them
    for secrets would cost as much as all the rest of the line."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        None,
        processors=[merge_contextvars, structlog.processors.add_log_level, _form],
    )
    return logger


def about(**ids: object) -> None:
    """What this task logs from now on is about these, e.g. `tenant_id`, `job_id`."""
    bind_contextvars(**{name: str(value) for name, value in ids.items()})


def where(error: BaseException) -> list[str]:
    """`file:line function` of our own frames and the last one, innermost last."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in extract_tb(error.__traceback__)
    ]
    own = [one for one in frames[:-1] if "site-packages" not in one]
    return own + frames[-1:]


class _Form:
    """How the lines of this process look."""

    render: Processor

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> Any:
        line = str(self.render(logger, name, _stamp(logger, name, event)))
        # Half a character would be an error in whoever wanted to tell of one.
        return line.encode("utf-8", "backslashreplace").decode()


def _ending(form: str) -> list[Processor]:
    """Cleaned last, so that nothing joins the line after it but the time."""
    people = structlog.dev.ConsoleRenderer(colors=False)
    _form.render = people if form == "text" else _as_json
    return [_error, _clean, _form]


def _error(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """An exception becomes its name, its redacted message and where it was raised."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = redacted(f"{type(error).__name__}: {error}")
        event["where"] = where(error)
    return event


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return _JSON.encode(event)


_form: Final = _Form()
_form.render = _as_json


def _clean(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    cleaned_event: dict[str, Any] = {
        name: value if name in _IDS else cleaned(name, value)
        for name, value in event.items()
    }
    return cleaned_event
