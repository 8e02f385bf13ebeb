"""What the web process counts: requests, by the template of their route."""

from functools import cache
from typing import Final

from prometheus_client import Counter, Histogram

_LABELS: Final = ("method", "route", "status")
_REQUESTS: Final = Counter(
    "mpanel_http_requests", "Requests that were answered.", _LABELS
)
_SECONDS: Final = Histogram(
    "mpanel_http_request_seconds",
    "How long requests took.",
    ("method", "route"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_METHODS: Final = frozenset(
    {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
)


def count(method: str, route: str, status: int, seconds: float) -> None:
    """One request more. `status` counts by its class, 0 when nobody was answered."""
    requests, took = _of(
        method if method in _METHODS else "other", route, status // 100
    )
    requests.inc()
    took.observe(seconds)


@cache
def _of(method: str, route: str, status_class: int) -> tuple[Counter, Histogram]:
    """As many as there are routes: to look its labels up costs more than to count."""
    requests = _REQUESTS.labels(method, route, f"{status_class}xx")
    return requests, _SECONDS.labels(method, route)
