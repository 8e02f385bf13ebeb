"""What is to be alerted about now: one query per rule, each over few rows.

Every query gives `subject`, `tenant`, `count` and the facts that its message names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import text

from models.alert_rules import Rule
from models.base import utc_now
from models.database import Session
from models.queries.alerts import Finding, subjects
from models.queries.jobs import AWAITS_ITS_TURN
from models.tenants import MIGRAHOSTING


@dataclass(frozen=True)
class Condition:
    """`said` words a row. One without a subject is about the thing that is `named`;
    one that does not begin an alert (`begins`) may keep it up."""

    query: str
    said: Callable[[Mapping[str, Any]], str]


async def found(session: Session, rule: Rule) -> list[Finding]:
    """What this rule finds. KeyError for one that is evaluated otherwise."""
    condition = CONDITIONS[rule.name]
    now = utc_now()
    rows = await (await session.connection()).execute(
        text(condition.query),
        {
            "now": now,
            "since": now - timedelta(seconds=rule.seconds),
            "seconds": float(rule.seconds),
            "threshold": rule.threshold,
        },
    )
    findings = []
    standing = await subjects(session, rule.name)
    for row in (_in_utc(dict(one)) for one in rows.mappings()):
        subject_id = row["subject"] or named(rule.name, row["named"])
        if row.get("begins", True) or subject_id in standing:
            findings.append(
                Finding(
                    tenant_id=row["tenant"] or MIGRAHOSTING,
                    subject_id=subject_id,
                    message=condition.said(row),
                    severity=rule.severity,
                    count=row["count"],
                )
            )
    return findings


def _in_utc(row: Mapping[str, Any]) -> dict[str, Any]:
    """As the messages call it, whatever zone the server is set to."""
    return {
        name: value.astimezone(UTC) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def named(rule: str, name: str) -> UUID:
    """The subject of an alert about something that has only a name."""
    return uuid5(MIGRAHOSTING, f"{rule}:{name}")


# It begins with so many within the time, and lasts while so many wait.
_PARKED_FLOOD = """
select null::uuid as tenant, null::uuid as subject, cause as named,
    count(*)::int as count,
    count(*) filter (where created_at > :since) >= :threshold as begins
from alerts
where status <> 'resolved' and job_id is not null
group by cause having count(*) >= :threshold
"""

# Raised with the listing; here it ends, or begins anew when a refund was refused.
_PAYMENT_UNCLAIMED = """
select null::uuid as tenant, id as subject, '' as named, 1 as count,
    stripe_payment_intent_id as intent
from unclaimed_payments where status = 'listed' and created_at < :since
"""

_ORDER_LATE = """
select o.tenant_id as tenant, o.id as subject, '' as named, 1 as count,
    c.created_at as since
from orders o join payment_claims c on c.order_id = o.id
where o.status = 'fulfilling' and c.created_at < :since
"""

# Nine in ten of the last 200 of its kind; fewer than 20 tell nothing yet. What it
# waited for a person, or a hold for its owner, was not its own; while a step waits for
# what another job does, that one tells. (The young ones are told from their row alone:
# the past of a kind costs more.)
_JOB_SLOW = """
select j.tenant_id as tenant, j.id as subject, '' as named, 1 as count,
    j.kind, coalesce(step.name, j.step) as step,
    extract(epoch from :now - began.at)::int as ran,
    coalesce(step.tells, true) as begins
from jobs j
left join cloudpods p on p.id = j.subject_id and j.kind = 'cloudpod_delete'
cross join lateral (
    select greatest(j.started_at, j.updated_at, p.held_until) as at
) began
left join lateral (
    select s.name, s.status = 'retrying' and s.code is distinct from 'waiting'
        or s.status = 'running' and s.tried_at < :now - interval '1 min' as tells
    from job_steps s
    where s.job_id = j.id and s.status in ('running', 'retrying')
    order by tells desc, s.scheduled_at desc limit 1
) step on true
cross join lateral (
    select count(*) as known, percentile_cont(0.9) within group (
        order by extract(epoch from r.ended_at - r.started_at)) as usual
    from (
        select d.ended_at, d.started_at from jobs d
        where d.tenant_id = j.tenant_id and d.kind = j.kind
            and d.status = 'succeeded' and d.started_at is not null
        order by d.created_at desc limit 200
    ) r
) past
where j.status in ('running', 'undoing') and j.kind <> 'fulfil_order'
    and j.started_at < :since and j.updated_at < :since and began.at < :since
    and (past.known < 20
        or extract(epoch from :now - began.at) > past.usual * :threshold)
"""

_START_BACKLOG = f"""
select null::uuid as tenant, null::uuid as subject, waiting.named,
    waiting.count, waiting.oldest
from (
    select 'jobs' as named, count(*)::int as count, min(updated_at) as oldest
    from jobs where status = 'pending' and started_generation < generation
        and (parent_id is null or generation > 1) and updated_at < :since
        and not ({AWAITS_ITS_TURN})
    union all
    select 'decisions', count(*)::int, min(created_at)
    from decisions where status = 'recorded' and created_at < :since
) waiting
where waiting.count >= :threshold
"""  # noqa: S608 - our own words

# A try under way has its lease before it.
_OUTBOX_BACKLOG = """
select null::uuid as tenant, null::uuid as subject, channel as named,
    count(*)::int as count, min(next_at) as oldest
from outbox
where status = 'queued' and next_at < :since
    and (channel <> 'webhook' or not exists (
        select from alerts where cause = 'webhook_disabled' and status <> 'resolved'))
group by channel having count(*) >= :threshold
"""

_WEBHOOK_LAG = """
select null::uuid as tenant, null::uuid as subject, 'stripe' as named,
    count(*)::int as count, min(created_at) as oldest
from stripe_events
where handled_at is null and created_at < :since
having count(*) >= :threshold
"""

_GATE_CLOSED = """
select null::uuid as tenant, id as subject, '' as named, 1 as count,
    account, blocked_since, blocked_until
from provider_accounts
where blocked_until > :now and blocked_until > blocked_since
        + make_interval(secs => :seconds)
"""

_BACKUP_MISSED = """
select p.tenant_id as tenant, p.website_id as subject, '' as named, 1 as count,
    w.domain, newest.stored_at
from backup_plans p
join websites w on w.id = p.website_id and w.status = 'active'
left join lateral (
    select max(b.stored_at) as stored_at from backups b
    where b.website_id = p.website_id and b.stored_at is not null
) newest on true
where p.status = 'active'
    and coalesce(newest.stored_at, w.live_at, p.created_at) < :since
"""

CONDITIONS: Final[Mapping[str, Condition]] = {
    "parked_flood": Condition(
        _PARKED_FLOOD,
        lambda row: f"{row['count']} jobs wait for {row['named']}: one cause, it seems",
    ),
    "payment_unclaimed": Condition(
        _PAYMENT_UNCLAIMED,
        lambda row: f"payment {row['intent']} is listed: no order claims it",
    ),
    "order_late": Condition(
        _ORDER_LATE,
        lambda row: (
            f"order {row['subject']} was paid at {row['since']:%Y-%m-%d %H:%M}"
            " UTC and is not delivered"
        ),
    ),
    "job_slow": Condition(
        _JOB_SLOW,
        lambda row: (
            f"{row['kind']} {row['subject']} has run for {row['ran']} s, far"
            f" longer than usual; it is at {row['step'] or 'no step'}"
        ),
    ),
    "start_backlog": Condition(
        _START_BACKLOG,
        lambda row: (
            f"{row['count']} {row['named']} wait for Temporal, the oldest"
            f" since {row['oldest']:%Y-%m-%d %H:%M} UTC"
        ),
    ),
    "outbox_backlog": Condition(
        _OUTBOX_BACKLOG,
        lambda row: (
            f"{row['count']} messages by {row['named']} are due, the oldest"
            f" since {row['oldest']:%Y-%m-%d %H:%M} UTC"
        ),
    ),
    "webhook_lag": Condition(
        _WEBHOOK_LAG,
        lambda row: (
            f"{row['count']} events of Stripe's are not worked through, the"
            f" oldest since {row['oldest']:%Y-%m-%d %H:%M} UTC"
        ),
    ),
    "gate_closed": Condition(
        _GATE_CLOSED,
        lambda row: (
            f"{row['account']} has told us to wait since"
            f" {row['blocked_since']:%Y-%m-%d %H:%M} UTC, and until"
            f" {row['blocked_until']:%Y-%m-%d %H:%M} UTC at least"
        ),
    ),
    "backup_missed": Condition(
        _BACKUP_MISSED,
        lambda row: (
            f"{row['domain']} has no archive of the last day; the newest is"
            f" from {row['stored_at'] or 'never'}"
        ),
    ),
}
