"""Pages as text: templates filled in, with headers that let nothing foreign in."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api.failure import Failure
from models.base import utc_now
from models.money import Cents, to_decimal

_FOLDER: Final = Path(__file__).parent / "static"
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not stricter: a form would then be sent without its origin.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HEADLINES: Final = {
    303: "One moment",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This page cannot do that",
    429: "Not so fast",
    503: "Back in a moment",
}


def _version() -> str:
    """Changes with any of the files, so that browsers may keep them for good."""
    content = b"".join(one.read_bytes() for one in sorted(_FOLDER.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def money(cents: Cents, currency: str | None) -> str:
    """5498, "USD" -> "54.98 USD"."""
    return f"{to_decimal(cents)} {(currency or '').upper()}".strip()


def ago(moment: datetime) -> str:
    """How long it is over, in the largest unit that fits."""
    seconds = max(0, int((utc_now() - moment).total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            many = seconds // size
            return f"{many} {unit}{'s' if many > 1 else ''}"
    return "a moment"


def plainly(word: object) -> str:
    """website_provision -> Website provision."""
    told = str(word).replace("_", " ").replace(":", ": ")
    return told[:1].upper() + told[1:]


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_PAGES: Final = Environment(
    loader=PackageLoader("api.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_PAGES.globals.update(version=_version())
_PAGES.filters.update(money=money, ago=ago, plainly=plainly, iso=_iso)


def text_of(name: str, **facts: Any) -> str:
    """A template, filled in."""
    return _PAGES.get_template(name).render(**facts)


def page(name: str, *, status: int = 200, **facts: Any) -> Response:
    """The same as an answer."""
    return HTMLResponse(text_of(name, **facts), status_code=status, headers=HEADERS)


def failure_page(failure: Failure) -> Response:
    """What went wrong, in words for whoever looks at it."""
    headline = _HEADLINES.get(failure.status, "This did not work")
    # What the router says of an address that no page has.
    nowhere = failure.message == "Not Found"
    content = text_of(
        "failure.html",
        actor=None,
        headline=headline,
        message="no page has this address" if nowhere else failure.message,
        request_id=failure.details.get("request_id"),
    )
    return HTMLResponse(
        content, status_code=failure.status, headers={**HEADERS, **failure.headers}
    )


class StaticFilesForGood(StaticFiles):
    """A file's address holds its version, so it is asked for once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """As the base, to be kept for a year."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def static_files() -> StaticFiles:
    """The style sheet, the script and the icon."""
    return StaticFilesForGood(directory=_FOLDER)
