"""No other site may make a browser act here: what a browser says of its request.

`Sec-Fetch-Site` where the browser sends it, else `Origin`. Who sends neither is no
browser that holds somebody's cookie. Together with SameSite=Lax.
"""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from models.errors import Denied

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = frozenset({"same-origin", "none"})


async def same_site(request: Request) -> None:
    """Raises `Denied` for a change that another site's page has asked for."""
    if request.method in _SAFE or _ours(request):
        return
    raise Denied("this came from another site's page; open the console and try again")


def _ours(request: Request) -> bool:
    said = request.headers.get("sec-fetch-site")
    if said is not None:
        return said in _OURS
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
