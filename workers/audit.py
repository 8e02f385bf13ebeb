"""Is the audit log as it was written? Every row is read and hashed again, here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from models.audit import GENESIS, link
from models.database import Database, Session
from workers.anchors import Anchor

_AT_ONCE: Final = 2000
# To find where a row was moved from, it is hashed at the place of every other one.
_FEW: Final = 100

# One statement sees one moment: heads, and where the rows end.
_ENDS: Final = text(
    "select coalesce(h.tenant_id, e.tenant_id) tenant, h.seq, h.hash, e.last, e.loose"
    " from audit_heads h full join (select tenant_id, max(seq) last,"
    " count(*) filter (where seq is null or seq < 1) loose from audit_events"
    " group by tenant_id) e on e.tenant_id = h.tenant_id order by 1"
)
# Exactly what was hashed, as text.
_ROWS: Final = text(
    "select seq, hash, prev_hash, id::text,"
    " trunc(extract(epoch from created_at) * 1000000)::bigint::text at, actor_kind,"
    " actor_id::text, actor, action, entity, entity_id, reason, details::text,"
    " request_id from audit_events where tenant_id = :tenant"
    " and seq >= :after and (seq, id) > (:after, :id) order by seq, id limit :at_once"
)


@dataclass(frozen=True)
class Fault:
    """Row `seq` of the tenant's chain is not as it was written."""

    tenant_id: UUID
    seq: int
    what: str


@dataclass
class Verdict:
    """`rows` were looked at; without faults the log is as it was written."""

    rows: int = 0
    tenants: int = 0
    faults: list[Fault] = field(default_factory=list)


async def verify(db: Database, anchors: Sequence[Anchor] = ()) -> Verdict:
    """Reads every chain from its first row to its head, and holds it to the anchors."""
    verdict = Verdict()
    async with db.platform() as session:
        ends = (await (await session.connection()).execute(_ENDS)).all()
        for end in ends:
            chain = _Chain(end.tenant, anchors)
            await chain.read(session, upto=max(end.seq or 0, end.last or 0))
            chain.close(end)
            verdict.rows += chain.rows
            verdict.faults += sorted(chain.faults, key=lambda one: one.seq)
    verdict.tenants = len(ends)
    known = {end.tenant for end in ends}
    for anchor in anchors:
        for tenant_id in anchor.heads.keys() - known:
            seq, _ = anchor.heads[tenant_id]
            what = f"every row is gone; the anchor of {anchor.at:%F %T} saw {seq}"
            verdict.faults.append(Fault(tenant_id, seq, what))
    return verdict


class _Chain:
    """One tenant's rows, taken one by one in their order."""

    def __init__(self, tenant_id: UUID, anchors: Sequence[Anchor]) -> None:
        self._tenant = tenant_id
        self._anchored: dict[int, list[tuple[datetime, str]]] = {}
        for anchor in anchors:
            if tenant_id in anchor.heads:
                seq, hash_ = anchor.heads[tenant_id]
                self._anchored.setdefault(seq, []).append((anchor.at, hash_))
        self._seq, self._hash, self._twice = 0, GENESIS, 0
        self._edited: list[Row[Any]] = []
        self.rows = 0
        self.faults: list[Fault] = []

    async def read(self, session: Session, *, upto: int) -> None:
        """Every row up to this one; what is written meanwhile is left out."""
        connection = await session.connection()
        page = {"tenant": self._tenant, "after": 1, "id": UUID(int=0)}
        while True:
            found = (
                await connection.execute(_ROWS, {**page, "at_once": _AT_ONCE})
            ).all()
            for row in found:
                if row.seq <= upto:
                    self._take(row)
            if len(found) < _AT_ONCE or found[-1].seq > upto:
                break
            page |= {"after": found[-1].seq, "id": UUID(found[-1].id)}

    def close(self, end: Row[Any]) -> None:
        """What only shows once all rows are known."""
        if end.seq is None:
            self._fault(self._seq, "the head of the chain is gone")
        elif end.seq > self._seq:
            self._missing(self._seq + 1, end.seq)
        elif (end.seq, end.hash) != (self._seq, self._hash):
            what = f"the head of the chain is another row: {end.seq} {end.hash[:12]}"
            self._fault(self._seq, what)
        if end.loose:
            self._fault(self._seq, f"{end.loose} rows have no place in the chain")
        for row in self._edited:
            self._fault(row.seq, self._how_edited(row))
        for seq, seen in self._anchored.items():
            if seq > self._seq:
                at = seen[0][0]
                self._fault(seq, f"the chain was cut: the anchor of {at:%F %T} saw it")

    def _take(self, row: Row[Any]) -> None:
        if row.seq > self._seq + 1:
            self._missing(self._seq + 1, row.seq - 1)
        if self._link(row, row.seq, row.prev_hash) != row.hash:
            self._edited.append(row)
        elif row.seq == self._seq + 1 and not self._follows(row):
            what = f"was replaced: row {row.seq} follows another one"
            self._fault(self._seq, what)
        if row.seq == self._seq:
            self._twice = row.seq
            self._fault(row.seq, "stands there twice: another row was put in")
        for at, hash_ in self._anchored.get(row.seq, ()):
            if hash_ != row.hash:
                what = f"the chain was written anew since the anchor of {at:%F %T}"
                self._fault(row.seq, what)
        self._seq, self._hash = row.seq, row.hash
        self.rows += 1

    def _follows(self, row: Row[Any]) -> bool:
        """Whether it names the row before it, or that one is a fault already."""
        edited = self._edited[-1].seq if self._edited else 0
        return self._seq in (edited, self._twice) or row.prev_hash == self._hash

    def _link(self, row: Row[Any], seq: int, prev_hash: str) -> str:
        """The hash of the row's words, if they stood at that place."""
        tenant = str(self._tenant)
        return link((prev_hash, tenant, str(seq), row.id, row.at, *row[5:]))

    def _how_edited(self, row: Row[Any]) -> str:
        if len(self._edited) > _FEW:
            return "was changed or moved after it was written"
        for other in self._edited:
            if row.hash == self._link(row, other.seq, row.prev_hash) or (
                other.hash == self._link(row, other.seq, other.prev_hash)
            ):
                return f"was moved: it was written as row {other.seq}"
        return "was changed after it was written"

    def _missing(self, first: int, last: int) -> None:
        upto = f"up to {last} " if last > first else ""
        self._fault(first, f"{upto}removed")

    def _fault(self, seq: int, what: str) -> None:
        self.faults.append(Fault(self._tenant, seq, what))
