"""Who calls. Services ask the actor, never the request."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.auth.demand import FRESH
from models.api_keys import Scope
from models.base import utc_now
from models.errors import Denied, StepUpRequired
from models.queries.audit import By
from models.tenants import MIGRAHOSTING
from models.users import Role

_PERMISSIONS = {
    Role.SUPER_ADMIN: ("*",),
    Role.ADMIN: ("*",),
    Role.OPERATOR: ("read", "create", "decide"),
    Role.VIEWER: ("read",),
}


@dataclass(frozen=True)
class Actor:
    """`roles` are those of the row at this request; `author` is how audits name it.

    `session_id` is the login that the call belongs to; `second_factor_at` is when it
    proved one last, `second_factor_demanded` whether it has to. A key has `scopes`,
    which give it the roles; it proves no second factor.
    """

    kind: str
    id: UUID
    tenant_id: UUID
    roles: frozenset[Role]
    author: str
    session_id: UUID
    second_factor_at: datetime | None = None
    second_factor_demanded: bool = False
    scopes: frozenset[Scope] = frozenset()

    @property
    def by(self) -> By:
        """How the audit log names the caller."""
        return By(self.kind, self.id, self.author)

    @property
    def platform(self) -> bool:
        """Whether every tenant's rows are in sight."""
        return Role.SUPER_ADMIN in self.roles

    @property
    def staff(self) -> bool:
        """Whether it works for the company whose machines these are."""
        return self.platform or self.tenant_id == MIGRAHOSTING

    @property
    def permissions(self) -> list[str]:
        """What the roles allow, all together."""
        found = {each for role in self.roles for each in _PERMISSIONS[role]}
        return ["*"] if "*" in found else sorted(found)

    @property
    def limited(self) -> bool:
        """Whether it may only set up or prove its second factor."""
        by_person = self.kind == "user"
        return by_person and self.second_factor_demanded and not self.second_factor_at

    def may_grant(self, role: Role) -> bool:
        """Whether it is not above the caller's own."""
        return any(own.rank >= role.rank for own in self.roles)

    def prove_scope(self, scope: Scope) -> None:
        """Raises `Denied` if the key lacks it."""
        if scope not in self.scopes:
            raise Denied(f"this needs an API key of scope {scope}")

    def prove_fresh(self, act: str) -> None:
        """Before what cannot be taken back, where a second factor is demanded.

        Raises `StepUpRequired` if it was not proven in the last ten minutes, and
        `Denied` for a key without the scope that stands for it.
        """
        if self.kind == "api_key":
            self.prove_scope(Scope.ABORT)
        elif self.second_factor_demanded:
            self.prove_factor(act)

    def prove_factor(self, act: str) -> None:
        """As `prove_fresh`, demanded or not."""
        at = self.second_factor_at
        if at is None or at + FRESH < utc_now():
            raise StepUpRequired(
                f"{act} needs a code of the last ten minutes: send one to"
                " POST /api/auth/step-up, then try again",
                call="POST /api/auth/step-up",
            )
