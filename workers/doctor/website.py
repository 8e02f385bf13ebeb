"""The API as people reach it."""

from collections.abc import AsyncIterator

import httpx

from workers.doctor.lines import Line, failure, ok
from workers.doctor.settings import DoctorSettings

_PATIENCE = 6.0


async def look(settings: DoctorSettings) -> AsyncIterator[Line]:
    """Where links in our mails lead to."""
    url = settings.public_url.rstrip("/")
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as http:
            answer = await http.get(f"{url}/api/health")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield failure(
            "reached",
            f"{url}: {type(error).__name__}",
            "Start `mpanel api`, or mend the proxy before it; else correct"
            " MPANEL_PUBLIC_URL.",
        )
        return
    if answer.status_code == httpx.codes.OK:
        yield ok("reached", url)
    else:
        yield failure(
            "reached",
            f"{url}/api/health answers {answer.status_code}",
            "Does MPANEL_PUBLIC_URL lead to `mpanel api`?",
        )
