"""What people ask of CloudPods. Each is a job; one open job per CloudPod."""

from uuid import UUID, uuid4

from temporalio.client import Client

from api.auth.actor import Actor
from api.services.starting import announce, start_soon
from models.cloudpods import CloudPod, pod_name
from models.database import Session
from models.errors import Conflict, Invalid, WrongState
from models.jobs import Job
from models.queries import cloudpods, customers, jobs, products, subscriptions
from models.states import JobKind, ServiceStatus

_REMOVABLE = frozenset(
    {
        ServiceStatus.ACTIVE,
        ServiceStatus.SUSPENDED,
        ServiceStatus.FAILED,
        # An earlier removal was given up half-way.
        ServiceStatus.TERMINATING,
    }
)


async def create(
    session: Session,
    temporal: Client,
    actor: Actor,
    *,
    customer_id: UUID,
    subscription_id: UUID,
    product_id: UUID,
    name: str,
    template: str,
    platform_domain: str,
) -> tuple[CloudPod, Job]:
    """A pending CloudPod for a subscription that has none, and the job that builds it.

    Raises `NotFound`, `Invalid`, `WrongState` (the subscription is not active) or
    `Conflict` (it has a CloudPod).
    """
    name = pod_name(name, field="name")
    customer = await customers.get(session, customer_id)
    # Locked, so that of two requests for one subscription the second sees the first.
    subscription = await subscriptions.get(session, subscription_id, lock=True)
    if subscription.customer_id != customer.id:
        raise Invalid("subscriptionId", "the subscription is another customer's")
    if subscription.product_id != product_id:
        raise Invalid("productId", "the subscription is of another product")
    product = await products.get(session, product_id)
    if product.delivers.get("kind") != "cloudpod":
        raise Invalid("productId", f"{product.name} has no CloudPod")
    if template != product.sku:
        raise Invalid("template", f"{product.name} is built from {product.sku}")
    if subscription.status != ServiceStatus.ACTIVE:
        status = str(subscription.status)
        raise WrongState(f"the subscription is {status}, not active", status=status)
    standing = await cloudpods.living_of(session, subscription.id)
    if standing is not None:
        raise Conflict(
            "the subscription has a CloudPod already", cloudpod_id=str(standing.id)
        )
    pod = cloudpods.drawn(
        product,
        subscription,
        pod_id=uuid4(),
        name=name,
        platform_domain=platform_domain,
    )
    session.add(pod)
    await session.flush()
    job = _job(pod, JobKind.CLOUDPOD_PROVISION, actor)
    await jobs.add_exclusive(session, job)
    await _go(session, temporal, job)
    return pod, job


async def delete(
    session: Session, temporal: Client, actor: Actor, cloudpod_id: UUID
) -> tuple[CloudPod, Job]:
    """The job that takes the CloudPod away.

    Raises `NotFound`, `Busy` (another job of it is open) or `WrongState`.
    """
    pod = await cloudpods.get(session, cloudpod_id, lock=True)
    job = _job(pod, JobKind.CLOUDPOD_DELETE, actor)
    await jobs.add_exclusive(session, job)
    if pod.status not in _REMOVABLE:
        raise WrongState(f"the CloudPod is {pod.status}", status=str(pod.status))
    await _go(session, temporal, job)
    return pod, job


def _job(pod: CloudPod, kind: JobKind, actor: Actor) -> Job:
    return Job(
        tenant_id=pod.tenant_id,
        kind=kind,
        subject_id=pod.id,
        requested_by=actor.id,
    )


async def _go(session: Session, temporal: Client, job: Job) -> None:
    await announce(session)
    await session.commit()
    start_soon(temporal, job)
