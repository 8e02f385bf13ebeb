"""uvicorn, whose open streams do not hold up its end."""

from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.parts import Parts


class Server(uvicorn.Server):
    """Tells the streams of `app` to end before it waits for its requests."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See base class."""
        super().handle_exit(sig, frame)
        parts: Parts | None = getattr(self._app.state, "parts", None)
        if parts is not None:
            parts.feed.end()
