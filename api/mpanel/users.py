"""/api/users: the people who may log in. /api/admin/users lists the same."""

from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from api.bodies import Text
from api.deps import Admin, PlatformRows, Rows
from api.idempotency import Repeatable
from api.limits import Kind, counted_as
from api.schemas import (
    ABOUT_ONE,
    ACTS,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paged,
    Timestamp,
    failures,
)
from api.services import users as service
from api.services.users import Change, Invitation
from models.queries import users
from models.queries.slices import by_id
from models.users import Role, User

router = APIRouter(tags=["users"], route_class=Repeatable)
public = APIRouter(prefix="/auth", tags=["auth"])

Roles = Annotated[list[Role], Field(min_length=1, max_length=10)]
Email = Annotated[str, Field(min_length=3, max_length=254)]


class UserStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class UserOut(CamelModel):
    """`email` is what the user logs in with."""

    id: UUID
    tenant_id: UUID
    name: str
    email: str
    roles: list[str]
    status: UserStatus


class InvitationOut(CamelModel):
    """For POST /api/auth/set-password. Shown this once; hand it to the user."""

    token: str
    expires_at: Timestamp


class InvitedOut(UserOut):
    invitation: InvitationOut

    @classmethod
    def of(cls, made: tuple[User, Invitation]) -> Self:
        """The user, and the invitation."""
        user, invitation = made
        shown = UserOut.model_validate(user).model_dump()
        return cls(**shown, invitation=InvitationOut.model_validate(invitation))


class UserIn(CamelModel):
    """No password: the user sets it, by the invitation. `tenantId`: of the platform's
    admins alone, for another tenant."""

    name: Text
    email: Email
    roles: Roles
    status: UserStatus = UserStatus.ACTIVE
    tenant_id: UUID | None = None


class UserChangeIn(CamelModel):
    """What is missing stays as it is."""

    name: Text | None = None
    email: Email | None = None
    roles: Roles | None = None
    status: UserStatus | None = None


class SetPasswordIn(CamelModel):
    token: str = Field(min_length=1, max_length=200)
    password: str = Field(min_length=1, max_length=1024)


@router.get("/users", responses=SIGNED_IN)
async def list_users(paging: Paged, _: Admin, rows: Rows) -> Page[UserOut]:
    """The tenant's users by name, disabled ones too."""
    return Page[UserOut].of(await users.find(rows, paging.window))


@router.get("/admin/users", responses=SIGNED_IN)
async def list_admin_users(paging: Paged, _: Admin, rows: Rows) -> Page[UserOut]:
    """The same as /api/users."""
    return Page[UserOut].of(await users.find(rows, paging.window))


@router.get("/users/{id}", responses=ABOUT_ONE)
async def get_user(user_id: Id, _: Admin, rows: Rows) -> UserOut:
    """One user."""
    return UserOut.model_validate(await by_id(rows, User, user_id))


@router.post("/users", status_code=201, responses=ACTS)
async def create_user(body: UserIn, actor: Admin, rows: Rows) -> InvitedOut:
    """Add a user. Nobody gives a role above their own."""
    made = await service.create(
        rows,
        actor,
        name=body.name,
        email=body.email,
        roles=body.roles,
        enabled=body.status is UserStatus.ACTIVE,
        tenant_id=body.tenant_id,
    )
    return InvitedOut.of(made)


@router.put("/users/{id}", responses=ACTS)
async def update_user(
    user_id: Id, body: UserChangeIn, actor: Admin, rows: Rows
) -> UserOut:
    """Change a user, from the next request on. Nobody changes their own roles."""
    enabled = None if body.status is None else body.status is UserStatus.ACTIVE
    change = Change(body.name, body.email, body.roles, enabled)
    return UserOut.model_validate(await service.update(rows, actor, user_id, change))


@router.delete("/users/{id}", status_code=204, responses=ACTS)
async def delete_user(user_id: Id, actor: Admin, rows: Rows) -> None:
    """Shut a user out at once. What they did stays told."""
    await service.delete(rows, actor, user_id)


@router.post("/users/{id}/invitations", status_code=201, responses=ACTS)
async def invite_user(user_id: Id, actor: Admin, rows: Rows) -> InvitedOut:
    """Another invitation for a user who has no password yet; earlier ones are void."""
    return InvitedOut.of(await service.invite(rows, actor, user_id))


@public.post("/set-password", status_code=204, responses=failures(400, 401, 413, 429))
@counted_as(Kind.LOGIN)
async def set_password(body: SetPasswordIn, rows: PlatformRows) -> None:
    """Set the first password, with the token of an invitation, which works once."""
    await service.set_password(rows, token=body.token, password=body.password)
