"""What an operator does about an alert."""

from dataclasses import replace
from uuid import UUID

from api.auth.actor import Actor
from models.alert_rules import Rule
from models.alerts import Alert
from models.audit import Action
from models.database import Session
from models.queries import alert_rules, alerts, audit
from models.states import AlertStatus


async def acknowledge(
    session: Session, actor: Actor, alert_id: UUID, *, note: str
) -> Alert:
    """It is in hand: what waits to tell of it is not sent, and nobody is told again.

    Whoever was first stays its owner. Raises `NotFound`, `WrongState` (resolved).
    """
    alert = await alerts.hold(session, alert_id)
    if alert.status == AlertStatus.ACKNOWLEDGED:
        return alert
    alert.acknowledge(actor.author, note)
    await alerts.silence(session, alert)
    await _record(session, actor, Action.ALERT_ACKNOWLEDGED, alert, note)
    await session.commit()
    return alert


async def resolve(
    session: Session, actor: Actor, alert_id: UUID, *, reason: str
) -> Alert:
    """It is over by hand. Raises `NotFound`, `WrongState` (resolved already)."""
    alert = await alerts.hold(session, alert_id)
    alert.resolve(actor.author, reason)
    await _record(session, actor, Action.ALERT_RESOLVED, alert, reason)
    await session.commit()
    return alert


async def change_rule(session: Session, actor: Actor, rule: Rule) -> Rule:
    """Has operators alerted otherwise from now on. Raises `NotFound`."""
    await alert_rules.change(session, rule, by=actor.author)
    await audit.record(
        session,
        tenant_id=actor.tenant_id,
        by=actor.by,
        action=Action.ALERT_RULE_CHANGED,
        entity="alert_rule",
        entity_id=rule.name,
        details={
            "enabled": rule.enabled,
            "severity": str(rule.severity),
            "threshold": rule.threshold,
            "seconds": rule.seconds,
        },
    )
    await session.commit()
    return replace(rule, changed_by=actor.author)


async def _record(
    session: Session, actor: Actor, action: Action, alert: Alert, reason: str
) -> None:
    await audit.record(
        session,
        tenant_id=alert.tenant_id,
        by=actor.by,
        action=action,
        entity="alert",
        entity_id=alert.id,
        reason=reason,
        details={"cause": alert.cause, "subjectId": str(alert.subject_id)},
    )
