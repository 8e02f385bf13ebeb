"""Who calls. Services ask the actor, never the request."""

from dataclasses import dataclass
from uuid import UUID

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

    `session_id` is the login that the call belongs to.
    """

    kind: str
    id: UUID
    tenant_id: UUID
    roles: frozenset[Role]
    author: str
    session_id: UUID

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
