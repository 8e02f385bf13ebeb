"""`Idempotency-Key`: a call that comes again gets the answer of the first.

Everything a keyed call does is one transaction: the claim of its key is a lock that
PostgreSQL holds for it, the service's commits are savepoints in it, and the answer is
kept by it. So a process that dies before the commit has done nothing and its key is
free at once; one that dies after it has left the answer behind.

A refusal has changed nothing and is not kept: what was wrong may be set right, and
sent again under the same key. Answers are sealed, since one may show a secret.
"""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import Depends, Header, Request, Response, params
from fastapi.routing import APIRoute
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from api.auth.actor import Actor
from api.schemas import failures
from api.services import starting
from models.database import Database, Session
from models.errors import DomainError, KeyInUse, KeyReused
from models.queries import idempotency as answers
from models.queries.idempotency import CallKey
from models.vault import Vault

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SYNTAX: Final = r"^[\x21-\x7e]{1,255}$"
_CALL: Final = "mpanel.call"


async def _documented(
    idempotency_key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            min_length=1,
            max_length=255,
            pattern=_SYNTAX,
            description="Sent again with the same key, the call is done once and"
            " answered the same, for 24 hours.",
        ),
    ] = None,
) -> None:
    """Refuses what is no key."""


class Repeatable(APIRoute):
    """Calls that change something honour `Idempotency-Key`.

    `APIRouter(..., route_class=Repeatable)`, and `Rows` in the route, are all it takes.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: set[str] | list[str] | None = None,
        dependencies: Sequence[params.Depends] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        **given: Any,
    ) -> None:
        if not _SAFE.issuperset(methods or ()):
            dependencies = [*(dependencies or ()), Depends(_documented)]
            responses = {**failures(409), **(responses or {})}
        super().__init__(
            path,
            endpoint,
            methods=methods,
            dependencies=dependencies,
            responses=responses,
            **given,
        )

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See base class."""
        handle = super().get_route_handler()

        async def handle_once(request: Request) -> Response:
            if request.method in _SAFE or HEADER not in request.headers:
                return await handle(request)
            call = request.scope[_CALL] = _Call()
            with starting.held():
                try:
                    return await call.kept(await handle(request))
                except _Known as known:
                    return known.answer
                except DomainError:
                    await call.refused()
                    raise

        return handle_once


def keyed(request: Request) -> bool:
    """Whether this call has a key that counts."""
    key = request.headers.get(HEADER, "")
    return _CALL in request.scope and re.fullmatch(_SYNTAX, key) is not None


@asynccontextmanager
async def once(
    request: Request, db: Database, vault: Vault, actor: Actor
) -> AsyncIterator[Session]:
    """The session of a keyed call that comes for the first time.

    Raises `KeyInUse` while the first is running, `KeyReused` for another request.
    """
    key = CallKey(actor.tenant_id, f"{actor.kind}:{actor.id}", request.headers[HEADER])
    request_hash = await _hash(request)
    tenant_id = None if actor.platform else actor.tenant_id
    async with db.around(tenant_id) as (connection, session):
        if not await answers.claim(connection, key):
            raise KeyInUse
        if (found := await answers.find(connection, key)) is not None:
            if found.request_hash != request_hash:
                raise KeyReused
            raise _Known(_answer(vault, key, found))
        claim = _Claim(key, request_hash, vault, connection, session)
        request.scope[_CALL].claim = claim
        yield session


class _Known(Exception):
    """The call came before: it is answered, and not done."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer


@dataclass(frozen=True)
class _Claim:
    key: CallKey
    request_hash: str
    vault: Vault
    connection: AsyncConnection
    session: Session


@dataclass
class _Call:
    """One keyed call. Without a claim it was refused before it began."""

    claim: _Claim | None = None

    async def kept(self, answer: Response) -> Response:
        """The same answer, kept in the transaction of what was done, now committed."""
        if (claim := self.claim) is None:
            return answer
        # What the service left uncommitted is dropped, as it is without a key.
        await claim.session.close()
        if answer.status_code < 400:
            row_id = uuid4()
            sealed = claim.vault.seal(
                bytes(answer.body), bound_to=_bound(claim.key, row_id)
            )
            await answers.keep(
                claim.connection,
                claim.key,
                {
                    "id": row_id,
                    "request_hash": claim.request_hash,
                    "status": answer.status_code,
                    "content_type": answer.headers.get("content-type", ""),
                    "sealed": sealed,
                },
            )
        await claim.connection.commit()
        return answer

    async def refused(self) -> None:
        """What the service committed before it refused holds, as without a key."""
        if self.claim is not None:
            await self.claim.session.close()
            await self.claim.connection.commit()


async def _hash(request: Request) -> str:
    """Of method, path, query and body; JSON by its meaning, not by its spaces."""
    body: bytes = await request.body()
    with suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    line = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(line.encode() + body).hexdigest()


def _answer(vault: Vault, key: CallKey, found: Row[Any]) -> Response:
    body = vault.open(found.sealed, bound_to=_bound(key, found.id))
    headers = {REPLAYED: "true"}
    if found.content_type:
        headers["Content-Type"] = found.content_type
    return Response(body, found.status, headers)


def _bound(key: CallKey, row_id: UUID) -> str:
    return f"{key.tenant_id}:{row_id}"
