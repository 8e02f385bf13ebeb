"""/api/customers."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.deps import Reader, Rows
from api.mpanel.subscriptions import SubscriptionOut
from api.mpanel.websites import WebsiteOut
from api.schemas import (
    ABOUT_ONE,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paged,
    Paging,
    Timestamp,
)
from models.queries import customers, subscriptions, websites

router = APIRouter(prefix="/customers", tags=["customers"])


class CustomerRow(CamelModel):
    id: UUID
    tenant_id: UUID
    name: str
    email: str
    # A mail to this address came back for good.
    mail_undeliverable: bool
    status: str
    created_at: Timestamp


class AddressOut(CamelModel):
    """A part that is not known is empty."""

    line1: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


class CustomerOut(CustomerRow):
    phone: str
    address: AddressOut


class CustomerPaging(Paging):
    search: str | None = None


@router.get("", responses=SIGNED_IN)
async def list_customers(
    query: Annotated[CustomerPaging, Query()], _: Reader, rows: Rows
) -> Page[CustomerRow]:
    """Customers, newest first; `search` looks into name and e-mail address."""
    found = await customers.find(rows, query.window, search=query.search)
    return Page[CustomerRow].of(found)


@router.get("/{id}", responses=ABOUT_ONE)
async def get_customer(customer_id: Id, _: Reader, rows: Rows) -> CustomerOut:
    """One customer."""
    return CustomerOut.model_validate(await customers.get(rows, customer_id))


@router.get("/{id}/subscriptions", responses=ABOUT_ONE)
async def list_subscriptions(
    customer_id: Id, paging: Paged, _: Reader, rows: Rows
) -> Page[SubscriptionOut]:
    """What the customer has bought."""
    await customers.get(rows, customer_id)
    found = await subscriptions.find(rows, paging.window, customer_id=customer_id)
    return Page[SubscriptionOut].of(found)


@router.get("/{id}/websites", responses=ABOUT_ONE)
async def list_websites(
    customer_id: Id, paging: Paged, _: Reader, rows: Rows
) -> Page[WebsiteOut]:
    """The customer's websites, former ones too."""
    await customers.get(rows, customer_id)
    found = await websites.find(rows, paging.window, customer_id=customer_id)
    return Page[WebsiteOut].of(found)
