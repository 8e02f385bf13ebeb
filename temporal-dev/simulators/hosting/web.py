"""The web server: each site by its Host header, from its docroot.

No PHP runs here: of an `.php` page the `<?php ... ?>` blocks are removed.
"""

import asyncio
import mimetypes
import re
from pathlib import Path
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from simulators.hosting.sites import Sites

_PHP_BLOCK = re.compile(rb"<\?(?:php|=).*?(?:\?>\n?|\Z)", re.DOTALL)
_INDEX = ("index.php", "index.html")


def web_app(sites: Sites) -> Starlette:
    """Answers 404 for a host that is no site here, as for a file that is not there."""

    async def serve(request: Request) -> Response:
        host = request.headers.get("host", "").rsplit(":", 1)[0].lower()
        site = sites.find(host)
        if site is None:
            return PlainTextResponse("no such site on this server", status_code=404)
        root = sites.docroot(site)
        found = await asyncio.to_thread(
            _page, root, sites.home(site), unquote(request.url.path)
        )
        if found is None:
            return PlainTextResponse("not found", status_code=404)
        name, body = found
        kind = "text/html" if name.endswith(".php") else mimetypes.guess_type(name)[0]
        return Response(body, media_type=kind or "application/octet-stream")

    return Starlette(routes=[Route("/{path:path}", serve, methods=["GET", "HEAD"])])


def _page(root: Path, home: Path, path: str) -> tuple[str, bytes] | None:
    parts = [part for part in path.split("/") if part]
    if "\0" in path or any(p.startswith(".") and p != ".well-known" for p in parts):
        return None
    file = root.joinpath(*parts)
    candidates = [file / name for name in _INDEX] if file.is_dir() else [file]
    for candidate in candidates:
        real = candidate.resolve()
        if real.is_file() and real.is_relative_to(home.resolve()):
            body = real.read_bytes()
            if real.suffix == ".php":
                body = _PHP_BLOCK.sub(b"", body)
            return real.name, body
    return None
