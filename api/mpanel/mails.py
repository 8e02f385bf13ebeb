"""/api/mails: what was sent, when, and what became of it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.deps import Operator, Rows
from api.schemas import SIGNED_IN, CamelModel, Page, Paging, Timestamp
from models.queries import mails
from models.states import OutboxStatus

router = APIRouter(prefix="/mails", tags=["mails"])


class MailOut(CamelModel):
    """`to` is `operator` for mail to whoever operates mPanel. `bounceCode` is what the
    recipient's server said. `foldedInto`: the digest that told it."""

    id: UUID
    to: str = Field(validation_alias="recipient")
    letter: str = Field(validation_alias="template")
    status: OutboxStatus
    order_id: UUID | None
    customer_id: UUID | None
    alert_id: UUID | None
    folded_into: UUID | None
    attempts: int
    created_at: Timestamp
    next_at: Timestamp
    sent_at: Timestamp | None
    bounced_at: Timestamp | None
    bounce_code: str | None
    last_error: str | None


class MailPaging(Paging):
    order_id: UUID | None = None
    customer_id: UUID | None = None
    status: OutboxStatus | None = None


@router.get("", responses=SIGNED_IN)
async def list_mails(
    query: Annotated[MailPaging, Query()], _: Operator, rows: Rows
) -> Page[MailOut]:
    """Mails, newest first."""
    found = await mails.find(
        rows,
        query.window,
        order_id=query.order_id,
        customer_id=query.customer_id,
        status=query.status,
    )
    return Page[MailOut].of(found)
