"""/api/auth/sessions: where the caller is logged in; and their password."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from api.deps import PlatformRows, SignedIn
from api.schemas import CamelModel, Id, Page, Paged, Timestamp, failures
from api.services import sessions as service
from api.services.sessions import SHORTEST_PASSWORD
from models.queries import sessions
from models.sessions import LoginSession

router = APIRouter(prefix="/auth", tags=["auth"])


class SessionOut(CamelModel):
    """`lastSeenAt` is exact to some minutes; `current`: the one that asks."""

    id: UUID
    created_at: Timestamp
    last_seen_at: Timestamp
    expires_at: Timestamp
    address: str
    user_agent: str
    method: str
    second_factor_at: Timestamp | None
    current: bool

    @classmethod
    def of(cls, login: LoginSession, current: UUID) -> "SessionOut":
        """The row, as its user sees it."""
        return cls(**login.model_dump(), current=login.id == current)


class RevokedOut(CamelModel):
    revoked: int


class PasswordIn(CamelModel):
    current_password: str = Field(min_length=1, max_length=1024)
    new_password: Annotated[str, Field(min_length=SHORTEST_PASSWORD, max_length=1024)]


class PasswordOut(CamelModel):
    """`revoked`: other sessions that ended with the old password."""

    message: str = "Password changed successfully"
    revoked: int


@router.get("/sessions", responses=failures(401, 403))
async def list_sessions(
    actor: SignedIn, rows: PlatformRows, paging: Paged
) -> Page[SessionOut]:
    """The caller's sessions, newest first."""
    found = await sessions.of_user(rows, actor.id, paging.window)
    shown = [SessionOut.of(login, actor.session_id) for login in found.items]
    return Page[SessionOut](items=shown, total=found.total)


@router.delete("/sessions/{id}", status_code=204, responses=failures(401, 403, 404))
async def revoke(session_id: Id, actor: SignedIn, rows: PlatformRows) -> None:
    """End one of them; its tokens stop working at once, on every process."""
    await service.revoke(rows, actor, session_id)


@router.post("/sessions/revoke-others", responses=failures(401, 403))
async def revoke_others(actor: SignedIn, rows: PlatformRows) -> RevokedOut:
    """End all but the one that asks."""
    return RevokedOut(revoked=await service.revoke_others(rows, actor))


@router.post("/change-password", responses=failures(400, 401, 403, 413, 429))
async def change_password(
    body: PasswordIn, actor: SignedIn, rows: PlatformRows
) -> PasswordOut:
    """Set another password. Every other session ends."""
    revoked = await service.change_password(
        rows, actor, current=body.current_password, new=body.new_password
    )
    return PasswordOut(revoked=revoked)
