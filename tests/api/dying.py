"""`python -m tests.api.dying PORT MOMENT`: a web process that dies with -9 in the first
call that has an Idempotency-Key, `before` or `after` what it did is committed."""

import os
import signal
import sys
from typing import Any

import uvicorn
from sqlalchemy import Engine, event
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app
from api.settings import ApiSettings


def die(*_: Any) -> None:
    """At once, as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def answering_kills(app: ASGIApp) -> ASGIApp:
    """Everything is done and committed; the caller never hears of it."""

    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        async def never(message: Message) -> None:
            if message["type"].startswith("http.response"):
                die()
            await send(message)

        keyed = any(name == b"idempotency-key" for name, _ in scope.get("headers", ()))
        await app(scope, receive, never if keyed else send)

    return dies


def main(port: int, moment: str) -> None:
    """Serves until it dies."""
    app: ASGIApp = create_app(ApiSettings.from_environment())
    if moment == "after":
        app = answering_kills(app)
    else:
        event.listen(Engine, "before_cursor_execute", _keeping_kills)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def _keeping_kills(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if statement.startswith("insert into kept_answers"):
        die()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
