"""Everything that is asked of alerts, and how they are raised and end."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select, update

from models.alerts import Alert
from models.base import utc_now
from models.database import Session
from models.jobs import Job
from models.outbox import OutboxMessage
from models.queries.outbox import OPERATOR, tell
from models.queries.slices import Slice, Window, by_id, page
from models.states import AlertStatus, OutboxStatus, Severity

CHANNELS = ("mail", "webhook")
# A standing alert's `last_seen_at` is renewed this often.
_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Finding:
    """What to alert about. `subject_id` and the cause make it one alert.

    `template` names the letter and the event; `facts` are for it. `count`: how many
    it concerns.
    """

    tenant_id: UUID
    subject_id: UUID
    message: str
    severity: Severity = Severity.WARNING
    job_id: UUID | None = None
    count: int = 1
    template: str = "alert.raised"
    facts: Mapping[str, Any] = field(default_factory=dict)


async def find(
    session: Session,
    window: Window,
    *,
    status: AlertStatus | None = None,
    severity: Severity | None = None,
    cause: str | None = None,
) -> Slice[Alert]:
    """Newest first."""
    query = select(Alert).order_by(col(Alert.created_at).desc(), col(Alert.id))
    if status is not None:
        query = query.where(Alert.status == status)
    if severity is not None:
        query = query.where(Alert.severity == severity)
    if cause is not None:
        query = query.where(Alert.cause == cause)
    return await page(session, query, window)


async def open_of(session: Session, cause: str) -> Sequence[Alert]:
    """Every alert of this cause that is not resolved, oldest first."""
    found = await session.exec(
        select(Alert)
        .where(Alert.cause == cause, Alert.status != AlertStatus.RESOLVED)
        .order_by(col(Alert.created_at), col(Alert.id))
    )
    return found.all()


async def hold(session: Session, alert_id: UUID) -> Alert:
    """The alert, locked. Raises `NotFound`."""
    return await by_id(session, Alert, alert_id, lock=True)


async def stands(session: Session, cause: str, subject_id: UUID) -> bool:
    """Whether this alert is not resolved."""
    found = await session.exec(
        select(Alert.id).where(
            Alert.cause == cause,
            Alert.subject_id == subject_id,
            Alert.status != AlertStatus.RESOLVED,
        )
    )
    return found.first() is not None


async def subjects(session: Session, cause: str) -> set[UUID]:
    """What the alerts of this cause that are not resolved are about."""
    found = await session.exec(
        select(Alert.subject_id).where(
            Alert.cause == cause, Alert.status != AlertStatus.RESOLVED
        )
    )
    return set(found.all())


async def raise_alert(
    session: Session, cause: str, found: Finding, *, occasion: str = ""
) -> None:
    """One open alert per cause and subject; told once per occasion.

    An acknowledged alert is counted on, and nobody is told. Safe to repeat. Without an
    occasion, only the alert's beginning is one.
    """
    for _ in range(3):
        if await _raised(session, cause, found, occasion):
            return


async def _raised(session: Session, cause: str, found: Finding, occasion: str) -> bool:
    """False: it was resolved while we waited for it, so this is a beginning."""
    alert_id = uuid5(found.subject_id, f"alert:{cause}:{occasion or uuid4()}")
    begun = await session.exec(
        insert(Alert)
        .values(
            id=alert_id,
            created_at=utc_now(),
            tenant_id=found.tenant_id,
            cause=cause,
            subject_id=found.subject_id,
            severity=found.severity,
            message=found.message,
            status=AlertStatus.OPEN,
            job_id=found.job_id,
            count=found.count,
            last_seen_at=utc_now(),
            note="",
            resolution="",
        )
        .on_conflict_do_nothing()
        .returning(col(Alert.id))
    )
    if begun.scalar_one_or_none() is not None:
        await _tell(session, cause, found, alert_id, occasion or str(alert_id))
        return True
    standing = (
        await session.exec(
            select(Alert)
            .where(
                Alert.cause == cause,
                Alert.subject_id == found.subject_id,
                Alert.status != AlertStatus.RESOLVED,
            )
            .with_for_update()
        )
    ).one_or_none()
    if standing is None:
        told = await session.exec(select(Alert.id).where(Alert.id == alert_id))
        return told.first() is not None  # this very occasion, and it is over
    standing.last_seen_at, standing.message = utc_now(), found.message
    silently = standing.status == AlertStatus.ACKNOWLEDGED
    if occasion and await _tell(
        session, cause, found, standing.id, occasion, silently=silently
    ):
        standing.count += 1
    return True


async def raise_for_job(
    session: Session,
    job: Job,
    *,
    cause: str,
    message: str,
    occasion: str,
    severity: Severity = Severity.WARNING,
) -> None:
    """The job needs a person: one alert per cause, told once per occasion."""
    found = Finding(
        tenant_id=job.tenant_id,
        subject_id=job.id,
        message=message,
        severity=severity,
        job_id=job.id,
        template="job.needs_attention",
        facts={"jobId": str(job.id), "kind": str(job.kind)},
    )
    await raise_alert(session, cause, found, occasion=occasion)


async def _tell(
    session: Session,
    cause: str,
    found: Finding,
    alert_id: UUID,
    occasion: str,
    *,
    silently: bool = False,
) -> bool:
    """Operator mail and webhook, each once. False: this occasion was told before."""
    facts = {
        "alertId": str(alert_id),
        "cause": cause,
        "severity": str(found.severity),
        "message": found.message,
        **found.facts,
    }
    told = [
        await tell(
            session,
            tenant_id=found.tenant_id,
            channel=channel,
            recipient=OPERATOR,
            template=found.template,
            subject_id=uuid5(found.subject_id, f"{cause}:{occasion}"),
            facts=facts,
            alert_id=alert_id,
            critical=found.severity == Severity.CRITICAL,
            silently=silently,
        )
        for channel in CHANNELS
    ]
    return any(told)


async def settle(
    session: Session,
    cause: str,
    found: Iterable[Finding],
    *,
    unsure: Callable[[str], bool] = lambda _: False,
) -> None:
    """The open alerts of this cause become these: raised, kept or ended by itself.

    One that was not found is kept, too, if nobody can be sure of what its message says.
    """
    rows = await session.exec(
        select(Alert).where(Alert.cause == cause, Alert.status != AlertStatus.RESOLVED)
    )
    standing = {alert.subject_id: alert for alert in rows.all()}
    now = utc_now()
    for each in found:
        alert = standing.pop(each.subject_id, None)
        if alert is None:
            await raise_alert(session, cause, each)
        elif (alert.count, alert.severity) != (
            each.count,
            each.severity,
        ) or alert.last_seen_at < now - _SEEN_EVERY:
            alert.message, alert.count = each.message, each.count
            alert.severity, alert.last_seen_at = each.severity, now
    for alert in standing.values():
        if not unsure(alert.message):
            alert.status, alert.resolved_at = AlertStatus.RESOLVED, now


async def end(session: Session, cause: str, subject_id: UUID) -> None:
    """The condition of this alert is over, if it is open."""
    await session.exec(
        update(Alert)
        .where(
            col(Alert.cause) == cause,
            col(Alert.subject_id) == subject_id,
            col(Alert.status) != AlertStatus.RESOLVED,
        )
        .values(status=AlertStatus.RESOLVED, resolved_at=utc_now())
    )


async def silence(session: Session, alert: Alert) -> None:
    """What waits to tell an operator of it is not sent any more."""
    await session.exec(
        update(OutboxMessage)
        .where(
            col(OutboxMessage.alert_id) == alert.id,
            col(OutboxMessage.status) == OutboxStatus.HELD,
        )
        .values(status=OutboxStatus.SILENCED)
    )
