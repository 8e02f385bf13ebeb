"""Routes that FastAPI documents, and that are called with the request alone."""

from contextlib import suppress
from uuid import UUID

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

_UUID: TypeAdapter[UUID] = TypeAdapter(UUID)


class Quick(APIRoute):
    """For the few that are called far more often than all others.

    To have dependencies solved and the answer checked costs such a route more than the
    statement it asks. Its `dependencies` are for the document alone: the endpoint asks
    for all of it by itself, and for `enter` before all else.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See base class."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        answer: Response = await self.endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)


def id_in_path(request: Request) -> UUID | None:
    """As `Id`; None for what cannot exist, which is told like what does not."""
    with suppress(ValidationError):
        return _UUID.validate_python(request.path_params["id"])
    return None


def as_json(answer: BaseModel, status: int = 200) -> Response:
    """The answer in its own shape, with camelCase keys."""
    body = answer.model_dump_json(by_alias=True)
    return Response(body, status, media_type="application/json")
