"""/api/websites."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.deps import Operator, Reader, Rows, Settings, Temporal
from api.idempotency import Repeatable
from api.mpanel.jobs import WORDS
from api.schemas import (
    ABOUT_ONE,
    ACTS,
    SIGNED_IN,
    CamelModel,
    Id,
    Page,
    Paging,
    Timestamp,
)
from api.services import websites as service
from models.jobs import Job
from models.queries import websites
from models.states import JobKind, JobStatus, ServiceStatus
from models.websites import Website

router = APIRouter(prefix="/websites", tags=["websites"], route_class=Repeatable)


class WebsiteOut(CamelModel):
    """`serverId` is null until it has a place."""

    id: UUID
    tenant_id: UUID
    customer_id: UUID
    subscription_id: UUID
    domain: str
    server_id: UUID | None
    status: ServiceStatus
    created_at: Timestamp
    live_at: Timestamp | None


class WebsiteIn(CamelModel):
    customer_id: UUID
    subscription_id: UUID
    domain: str = Field(max_length=254)


class AcceptedOut(CamelModel):
    """`status` is the website's as of now; the job, `jobId`, will change it."""

    id: UUID
    status: ServiceStatus
    job_id: UUID
    job_status: str

    @classmethod
    def of(cls, asked: tuple[Website, Job]) -> "AcceptedOut":
        """What was asked of the website."""
        website, job = asked
        return cls(
            id=website.id,
            status=ServiceStatus(website.status),
            job_id=job.id,
            job_status=WORDS[JobStatus(job.status)],
        )


class WebsitePaging(Paging):
    customer_id: UUID | None = None
    status: ServiceStatus | None = None


@router.get("", responses=SIGNED_IN)
async def list_websites(
    query: Annotated[WebsitePaging, Query()], _: Reader, rows: Rows
) -> Page[WebsiteOut]:
    """Websites, newest first; former ones too."""
    found = await websites.find(
        rows, query.window, customer_id=query.customer_id, status=query.status
    )
    return Page[WebsiteOut].of(found)


@router.get("/{id}", responses=ABOUT_ONE)
async def get_website(website_id: Id, _: Reader, rows: Rows) -> WebsiteOut:
    """One website."""
    return WebsiteOut.model_validate(await websites.get(rows, website_id))


@router.post("", status_code=201, responses=ACTS)
async def create_website(
    body: WebsiteIn, actor: Operator, rows: Rows, temporal: Temporal, settings: Settings
) -> WebsiteOut:
    """Build a website for an active subscription that has none."""
    made = await service.create(
        rows,
        temporal,
        actor,
        customer_id=body.customer_id,
        subscription_id=body.subscription_id,
        domain=body.domain,
        platform_domain=settings.platform_domain,
    )
    return WebsiteOut.model_validate(made)


@router.delete("/{id}", status_code=202, responses=ACTS)
async def delete_website(
    website_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AcceptedOut:
    """Take the website away; its kept archives stay until they expire."""
    return AcceptedOut.of(
        await service.ask(rows, temporal, actor, website_id, JobKind.WEBSITE_DELETE)
    )


@router.post("/{id}/suspend", status_code=202, responses=ACTS)
async def suspend_website(
    website_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AcceptedOut:
    """Show a notice instead of the website."""
    return AcceptedOut.of(
        await service.ask(rows, temporal, actor, website_id, JobKind.WEBSITE_SUSPEND)
    )


@router.post("/{id}/resume", status_code=202, responses=ACTS)
async def resume_website(
    website_id: Id, actor: Operator, rows: Rows, temporal: Temporal
) -> AcceptedOut:
    """Bring a suspended website back."""
    return AcceptedOut.of(
        await service.ask(rows, temporal, actor, website_id, JobKind.WEBSITE_RESUME)
    )
