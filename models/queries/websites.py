"""Everything that is asked of websites."""

from uuid import UUID

from sqlmodel import col, or_, select

from models.database import Session
from models.queries.services import LIVING
from models.queries.slices import Slice, Window, by_id, page
from models.states import ServiceStatus
from models.websites import Website

# What has no place yet holds no name.
_HOLDING = tuple(one for one in LIVING if one is not ServiceStatus.PENDING)


async def get(session: Session, website_id: UUID, *, lock: bool = False) -> Website:
    """The website. Raises `NotFound`."""
    return await by_id(session, Website, website_id, lock=lock)


async def find(
    session: Session,
    window: Window,
    *,
    customer_id: UUID | None = None,
    status: ServiceStatus | None = None,
) -> Slice[Website]:
    """Newest first."""
    query = select(Website).order_by(col(Website.created_at).desc(), col(Website.id))
    if customer_id is not None:
        query = query.where(Website.customer_id == customer_id)
    if status is not None:
        query = query.where(Website.status == status)
    return await page(session, query, window)


async def in_the_way(session: Session, website: Website) -> Website | None:
    """The website that has this one's name; or one of another customer's that has a
    name above it, of which this one would take a part over. Wants the platform's
    session: names are given once, whoever has them."""
    labels = website.domain.split(".")
    above = [".".join(labels[place:]) for place in range(1, len(labels))]
    found = await session.exec(
        select(Website).where(
            Website.id != website.id,
            or_(
                col(Website.domain) == website.domain,
                col(Website.domain).in_(above)
                & (col(Website.customer_id) != website.customer_id),
            ),
            col(Website.status).in_(_HOLDING),
        )
    )
    return found.first()


async def living(
    session: Session, *, subscription_id: UUID, domain: str
) -> Website | None:
    """The website in use that the subscription has, or that has this domain."""
    return (
        await session.exec(
            select(Website)
            .where(
                or_(
                    col(Website.subscription_id) == subscription_id,
                    col(Website.domain) == domain,
                ),
                col(Website.status).in_(LIVING),
            )
            .order_by(col(Website.created_at))
        )
    ).first()
