"""What the letters say: read when they are sent, so that it is true then."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlmodel import col, func, select

from models.alerts import Alert
from models.cloudpods import CloudPod
from models.database import Session
from models.jobs import Job
from models.money import to_decimal
from models.orders import OrderItem
from models.outbox import OutboxMessage
from models.payments import PaymentRefund
from models.products import Product
from models.states import GIVEN_BACK, AlertStatus, JobStatus, Severity
from models.websites import Website

DIGEST = "alert.digest"


async def facts_of(
    session: Session, message: OutboxMessage, *, public_url: str
) -> dict[str, Any]:
    """Everything that the message's letter may say."""
    facts = {"public_url": public_url, **message.facts}
    if message.order_id is not None:
        facts |= await _of_order(session, message.order_id)
    website = await session.get(Website, message.subject_id)
    if website is not None:
        facts["domain"] = website.domain
    pod = await session.get(CloudPod, message.subject_id)
    if pod is not None:
        facts |= {"host": pod.hostname, "address": pod.address}
        facts["ssh"] = f"ssh {pod.opens_as}@{pod.hostname}" if pod.ssh_keys else ""
    if message.alert_id is not None and "message" in facts:
        alert = await session.get(Alert, message.alert_id)
        facts["message"] = _by_now(str(facts["message"]), alert)
    if message.template == DIGEST:
        facts |= await _of_digest(session, message.id, public_url)
    return facts


async def _of_order(session: Session, order_id: UUID) -> dict[str, Any]:
    rows = await session.exec(
        select(Product.name, Job.status, Website.domain)
        .select_from(OrderItem)
        .join(Product, col(Product.id) == OrderItem.product_id)
        .join(Job, col(Job.id) == OrderItem.job_id)
        .outerjoin(Website, col(Website.id) == Job.subject_id)
        .where(OrderItem.order_id == order_id)
        .order_by(col(OrderItem.position))
    )
    lines = rows.all()
    # Of one payment, whose currency need not be the order's.
    given_back = await session.exec(
        select(
            func.sum(PaymentRefund.amount), func.max(col(PaymentRefund.currency))
        ).where(
            PaymentRefund.order_id == order_id,
            col(PaymentRefund.status).in_(GIVEN_BACK),
        )
    )
    amount, currency = given_back.one()
    delivered = [
        {"name": name, "url": f"http://{domain}/" if domain else ""}
        for name, status, domain in lines
        if status == JobStatus.SUCCEEDED
    ]
    return {
        "short": str(order_id)[:8],
        "ordered": [{"name": name, "url": ""} for name, _, _ in lines],
        "delivered": delivered,
        "missing": ", ".join(
            name for name, status, _ in lines if status != JobStatus.SUCCEEDED
        ),
        "refunded": f"{to_decimal(int(amount))} {currency.upper()}" if amount else "",
    }


async def _of_digest(
    session: Session, digest_id: UUID, public_url: str
) -> dict[str, Any]:
    rows = await session.exec(
        select(OutboxMessage, Alert)
        .outerjoin(Alert, col(Alert.id) == OutboxMessage.alert_id)
        .where(OutboxMessage.folded_into == digest_id)
        .order_by(col(OutboxMessage.created_at), col(OutboxMessage.id))
    )
    folded = rows.all()
    by_cause: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for message, alert in folded:
        by_cause[_cause(message, alert)].append(_line(message, alert, public_url))
    # The most frequent cause first.
    groups = sorted(by_cause.items(), key=lambda group: (-len(group[1]), group[0]))
    return {
        "count": len(folded),
        "critical_word": "CRITICAL, " if any(one.critical for one, _ in folded) else "",
        "summary": ", ".join(f"{len(lines)} x {cause}" for cause, lines in groups),
        "groups": _grouped(groups),
    }


def _grouped(
    groups: Sequence[tuple[str, Sequence[Mapping[str, str]]]],
) -> list[dict[str, Any]]:
    return [
        {"title": cause, "count": len(lines), "lines": lines} for cause, lines in groups
    ]


def _by_now(said: str, alert: Alert | None) -> str:
    over = alert is not None and alert.status == AlertStatus.RESOLVED
    return f"{said} (over by now)" if over else said


def _cause(message: OutboxMessage, alert: Alert | None) -> str:
    return alert.cause if alert else message.template


def _line(
    message: OutboxMessage, alert: Alert | None, public_url: str
) -> dict[str, str]:
    """One alert of a digest, with where to go on."""
    facts = message.facts
    said = str(facts.get("message") or " ".join(str(each) for each in facts.values()))
    if alert is not None and alert.severity == Severity.CRITICAL:
        said = f"CRITICAL: {said}"
    said = _by_now(said, alert)
    job = facts.get("jobId")
    if job:
        path = f"/console/inbox/{job}"
    else:
        path = f"/api/alerts?cause={alert.cause}" if alert else ""
    return {"name": said, "url": f"{public_url}{path}" if path else ""}
