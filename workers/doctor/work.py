"""The work itself: what waits, for whom, and for how long."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg

from models.queries.jobs import AWAITS_ITS_TURN
from workers.doctor.database import UNREADABLE, connected, unread
from workers.doctor.lines import Line, failure, ok, warning
from workers.doctor.settings import DoctorSettings

AREA = "Work"
_WORKER = "Is `mpanel worker` up? Its log names what holds it up."
_SOON, _LATE = timedelta(minutes=1), timedelta(minutes=10)

_PARKED = "select count(*) as number from jobs where status = 'needs_attention'"
# An old one may have begun anew just now.
_PENDING = (
    "select count(*) as number, clock_timestamp() - min(updated_at) as age"  # noqa: S608
    " from (select updated_at from jobs where status = 'pending'"
    " and started_generation < generation and (parent_id is null or generation > 1)"
    f" and not ({AWAITS_ITS_TURN})"
    " order by created_at limit 10000) waiting"
)
_DECISIONS = (
    "select count(*) as number, clock_timestamp() - min(created_at) as age"
    " from decisions where status = 'recorded'"
)
_OUTBOX = (
    "select count(*) as number, clock_timestamp() - min(next_at) as age from outbox"
    " where status = 'queued' and next_at < clock_timestamp()"
    " and (channel <> 'webhook' or not exists (select from alerts"
    " where cause = 'webhook_disabled' and status <> 'resolved'))"
)
_HOOK_OFF = (
    "select (select count(*) from outbox where status = 'queued'"
    " and channel = 'webhook') as number"
    " from alerts where cause = 'webhook_disabled' and status <> 'resolved' limit 1"
)
_UNSENT = "select count(*) as number from outbox where status = 'failed'"
_EVENTS = (
    "select count(*) as number, clock_timestamp() - min(created_at) as age"
    " from stripe_events where handled_at is null"
)
_UNCLAIMED = "select count(*) as number from unclaimed_payments where status = 'listed'"


async def look(settings: DoctorSettings) -> AsyncIterator[Line]:
    """By the rows, which are what is true."""
    async with connected(settings) as connection:
        try:
            yield await _waiting(connection, "orders to start", _PENDING)
            yield await _waiting(connection, "decisions to deliver", _DECISIONS)
            yield await _waiting(connection, "Stripe's events", _EVENTS)
            yield await _waiting(connection, "mail and webhooks", _OUTBOX)
            yield await _hook(connection)
            yield await _none(
                connection,
                "for a person",
                _PARKED,
                "parked: {} want a decision",
                "`mpanel inbox`, or GET /api/jobs?status=needs_attention.",
            )
            yield await _none(
                connection,
                "unclaimed payments",
                _UNCLAIMED,
                "{} paid and got nothing",
                "GET /api/payments/unclaimed: make each an order or a refund.",
            )
            yield await _none(
                connection,
                "given up",
                _UNSENT,
                "{} mails or webhooks were refused for good",
                "Their rows in `outbox` say why in last_error.",
            )
        except UNREADABLE:
            yield unread("rows")


async def _row(
    connection: psycopg.AsyncConnection[dict[str, Any]], query: Any
) -> dict[str, Any]:
    return await (await connection.execute(query)).fetchone() or {}


async def _waiting(
    connection: psycopg.AsyncConnection[dict[str, Any]], name: str, query: str
) -> Line:
    found = await _row(connection, query)
    number, age = found["number"], found["age"] or timedelta()
    if not number:
        return ok(name, "none waits")
    told = f"{number} wait, the oldest for {_told(age)}"
    if age < _SOON:
        return ok(name, told)
    return (failure if age >= _LATE else warning)(name, told, _WORKER)


async def _hook(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Line:
    name, off = "operators' webhook", await _row(connection, _HOOK_OFF)
    if not off:
        return ok(name, "nothing has turned it off")
    return warning(
        name,
        f"is turned off; {off['number']} messages are kept for it",
        "Set MPANEL_OPERATOR_WEBHOOK_URL or its receiver right, then resolve the alert"
        " webhook_disabled: GET /api/alerts?cause=webhook_disabled.",
    )


async def _none(
    connection: psycopg.AsyncConnection[dict[str, Any]],
    name: str,
    query: str,
    told: str,
    advice: str,
) -> Line:
    number = (await _row(connection, query))["number"]
    return warning(name, told.format(number), advice) if number else ok(name, "none")


def _told(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
