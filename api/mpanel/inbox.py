"""/api/operator: what waits for people, why, and what each act would do about it."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import Operator, Platform, Rows, Still
from api.idempotency import Repeatable
from api.mpanel.inbox_shapes import (
    DecidedAllOut,
    DecideIn,
    DetailOut,
    EntryOut,
    FilterIn,
    FoundOut,
    GroupOut,
    GroupsOut,
    InboxPaging,
    OrphansOut,
    StandstillOut,
)
from api.mpanel.payments import UnclaimedOut
from api.schemas import ABOUT_ONE, ACTS, SIGNED_IN, Id, Page, Paged
from api.services import inbox
from models.queries.payments import unclaimed
from models.states import UnclaimedStatus

router = APIRouter(prefix="/operator", tags=["operator"], route_class=Repeatable)

Asked = Annotated[InboxPaging, Query()]
Word = Annotated[
    str,
    Query(min_length=3, max_length=320, description="An id, address, domain, pi_..."),
]


def _page(entries: Sequence[inbox.Entry], total: int) -> Page[EntryOut]:
    return Page[EntryOut](items=[EntryOut.of(one) for one in entries], total=total)


@router.get("/inbox", responses=SIGNED_IN)
async def list_inbox(query: Asked, _: Operator, rows: Rows) -> Page[EntryOut]:
    """Jobs that wait for people, the longest wait first."""
    found = await inbox.rows(rows, query.window, cause=query.cause, only=query.only)
    return _page(found.items, found.total)


@router.get("/inbox/groups", responses=SIGNED_IN)
async def list_groups(
    only: Annotated[FilterIn, Query()], _: Operator, still: Still, rows: Rows
) -> GroupsOut:
    """The same by cause: how many, since when, and what is to be done."""
    found = await inbox.groups(rows, only.only)
    return GroupsOut(
        items=[GroupOut.model_validate(one) for one in found],
        total=sum(one.count for one in found),
        standstill=StandstillOut.model_validate(still) if still else None,
    )


@router.post("/inbox/decide", responses=ACTS)
async def decide(body: DecideIn, actor: Operator, rows: Rows) -> DecidedAllOut:
    """One act on one job, on several, or on all of a cause; each by itself."""
    return DecidedAllOut.of(await inbox.decide(rows, actor, body.ruling, body.chosen))


@router.get("/inbox/{id}", responses=ABOUT_ONE)
async def show(job_id: Id, _: Operator, rows: Rows) -> DetailOut:
    """One job: its customer, its money, what exists, and what each act would do."""
    return DetailOut.told(await inbox.detail(rows, job_id))


@router.get("/find", responses=SIGNED_IN)
async def find(q: Word, actor: Operator, rows: Rows) -> FoundOut:
    """Jobs by order, e-mail, domain, Stripe's or another provider's id, or run id."""
    return FoundOut.told(await inbox.find(rows, actor, q))


@router.get("/orphans", responses=SIGNED_IN)
async def list_orphans(_: Operator, rows: Rows, paging: Paged) -> OrphansOut:
    """What providers have and our ledger has not, and what nobody is sure of."""
    found = await inbox.orphans(rows, paging.window)
    return OrphansOut.of(found)


@router.get("/payments", responses=SIGNED_IN)
async def list_payments(_: Platform, rows: Rows, paging: Paged) -> Page[UnclaimedOut]:
    """Payments that nobody claimed; /api/payments/unclaimed/{id} decides them."""
    found = await unclaimed(rows, paging.window, status=UnclaimedStatus.LISTED)
    return Page[UnclaimedOut](
        items=[UnclaimedOut.of(one) for one in found.items], total=found.total
    )
