"""The rules in force: the defaults, and what admins made of them."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import select

from models.alert_rules import DEFAULTS, AlertRuleChange, Rule
from models.base import utc_now
from models.database import Session
from models.errors import NotFound
from models.states import Severity


async def in_force(session: Session) -> dict[str, Rule]:
    """Every rule by its name."""
    changes = (await session.exec(select(AlertRuleChange))).all()
    rules = dict(DEFAULTS)
    for one in changes:
        if one.name in rules:
            rules[one.name] = Rule(
                name=one.name,
                severity=Severity(one.severity),
                threshold=one.threshold,
                seconds=one.seconds,
                enabled=one.enabled,
                changed_by=one.changed_by,
            )
    return rules


async def change(session: Session, rule: Rule, *, by: str) -> None:
    """Writes a rule down. Raises `NotFound` for a name that there is not."""
    if rule.name not in DEFAULTS:
        raise NotFound(f"there is no alert rule {rule.name}")
    values: dict[str, Any] = {
        "enabled": rule.enabled,
        "severity": rule.severity,
        "threshold": rule.threshold,
        "seconds": rule.seconds,
        "changed_by": by,
    }
    row = AlertRuleChange(name=rule.name, created_at=utc_now(), **values)
    await session.exec(
        insert(AlertRuleChange)
        .values(row.model_dump())
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )
