"""/api/subscriptions."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.deps import Reader, Rows
from api.schemas import ABOUT_ONE, SIGNED_IN, CamelModel, Id, Page, Paging, Timestamp
from models.queries import subscriptions
from models.states import ServiceStatus

router = APIRouter(prefix="/subscriptions", tags=["subscriptions"])


class SubscriptionOut(CamelModel):
    """`startsAt` and `renewsAt` are null until the service is live."""

    id: UUID
    tenant_id: UUID
    customer_id: UUID
    product_id: UUID
    product_type: str
    status: ServiceStatus
    billing_cycle: str
    starts_at: Timestamp | None
    renews_at: Timestamp | None


class SubscriptionPaging(Paging):
    customer_id: UUID | None = None
    status: ServiceStatus | None = None
    product_type: str | None = None


@router.get("", responses=SIGNED_IN)
async def list_subscriptions(
    query: Annotated[SubscriptionPaging, Query()], _: Reader, rows: Rows
) -> Page[SubscriptionOut]:
    """Subscriptions, newest first."""
    found = await subscriptions.find(
        rows,
        query.window,
        customer_id=query.customer_id,
        status=query.status,
        product_type=query.product_type,
    )
    return Page[SubscriptionOut].of(found)


@router.get("/{id}", responses=ABOUT_ONE)
async def get_subscription(
    subscription_id: Id, _: Reader, rows: Rows
) -> SubscriptionOut:
    """One subscription."""
    found = await subscriptions.get(rows, subscription_id)
    return SubscriptionOut.model_validate(found)
