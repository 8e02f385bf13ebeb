"""The embedded Temporal: `temporal server start-dev` on a file of ours."""

import shutil
import sys
from pathlib import Path

from workers.dev.errors import StackError

NAMESPACE = "default"
SEARCH_ATTRIBUTES = (
    "JobKind",
    "JobStatus",
    "JobStep",
    "JobReason",
    "TenantId",
    "SubjectId",
)
_DYNAMIC = {
    # The dev server has one history shard; polled 20 times a second, its default,
    # every step would wait up to 50 ms.
    "history.transferProcessorMaxPollRPS": 1000,
    # A workflow that keeps failing says so in TemporalReportedProblems.
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": 2,
    # Otherwise a search attribute may be unknown for a minute.
    "system.forceSearchAttributesCacheRefreshOnRead": "true",
    # Tenants share a queue fairly; without these a large one goes first, and an
    # order waits behind the batch in its partition.
    "matching.enableFairness": "true",
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
}
_PRAGMAS = {"journal_mode": "WAL", "synchronous": "NORMAL"}


def program() -> str:
    """The `temporal` beside our Python, else the one on the path."""
    beside = Path(sys.executable).parent / "temporal"
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise StackError(
            "the program `temporal` is missing: run `make install`, or put the"
            " Temporal CLI on the PATH."
        )
    return found


def command(database: Path, *, port: int, http_port: int, ui_port: int) -> list[str]:
    """A development server whose workflows survive its restart."""
    words = [program(), "server", "start-dev", "--log-level", "warn"]
    words += ["--ip", "127.0.0.1", "--port", str(port), "--http-port", str(http_port)]
    words += ["--ui-ip", "127.0.0.1", "--ui-port", str(ui_port)]
    words += ["--ui-disable-news-fetch", "--db-filename", str(database)]
    for name, value in _PRAGMAS.items():
        words += ["--sqlite-pragma", f"{name}={value}"]
    words += dynamic_flags()
    for attribute in SEARCH_ATTRIBUTES:
        words += ["--search-attribute", f"{attribute}=Keyword"]
    return words


def dynamic_flags() -> list[str]:
    """The server's own settings; a cluster for production wants the last three."""
    return [
        word
        for key, setting in _DYNAMIC.items()
        for word in ("--dynamic-config-value", f"{key}={setting}")
    ]


def ready_url(http_port: int) -> str:
    """Answers 200 once the namespace is there."""
    return f"http://127.0.0.1:{http_port}/api/v1/namespaces/{NAMESPACE}"
