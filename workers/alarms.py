"""Holds the rules of alerting against the rows, every few seconds.

Any number of processes may: one at a time does, and what it finds is unique.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.errors import redacted
from models.alert_rules import Rule
from models.base import utc_now
from models.database import Database, Session
from models.queries import alert_rules, alerts, conditions, trouble
from models.queries.alerts import Finding
from models.tenants import MIGRAHOSTING
from workflows.queues import ALL

_log = structlog.get_logger(__name__)
_LOCK = text("select pg_try_advisory_xact_lock(7267353)")
_CUSTOMERS: Final = "customer_told"
_QUEUES: Final = "queue_without_worker"
# Looks at every website's archives; an hour's delay is nothing to a day's.
_SELDOM: Final[Mapping[str, float]] = {"backup_missed": 600.0}
_ASK_QUEUES_EVERY = 15.0
_ASK_WITHIN = timedelta(seconds=3)

Pollers = Callable[[str], Awaitable[float | None]]


class Alarms:
    """`pollers`: seconds since a worker asked this queue; None if none ever did."""

    def __init__(
        self, db: Database, pollers: Pollers, *, queues: Sequence[str] = ALL
    ) -> None:
        self._db, self._pollers, self._queues = db, pollers, queues
        self._evaluated_at: dict[str, float] = {}
        self._asked_at = 0.0
        # When each queue was last seen with a worker; at first, when we began.
        self._served_at = dict.fromkeys(queues, time.monotonic())

    async def round(self) -> None:
        """Every rule, each by itself: one that fails holds up no other."""
        async with self._db.looking() as session:
            rules = await alert_rules.in_force(session)
        for name, rule in rules.items():
            every = _SELDOM.get(name, 0.0)
            if time.monotonic() - self._evaluated_at.get(name, -every) < every:
                continue
            self._evaluated_at[name] = time.monotonic()
            try:
                await self._evaluate(name, rule)
            except Exception as error:  # noqa: BLE001 - logged; tried again next round
                told = redacted(f"{type(error).__name__}: {error}")
                _log.warning("rule_failed", rule=name, error=told)

    async def _evaluate(self, name: str, rule: Rule) -> None:
        if name == _CUSTOMERS:
            await self._tell_customers(rule)
            return
        silent = await self._silent(rule) if name == _QUEUES else None
        if name == _QUEUES and silent is None:
            return
        async with self._db.platform() as session:
            connection = await session.connection()
            if not (await connection.execute(_LOCK)).scalar_one():
                return
            found: list[Finding] = []
            if rule.enabled:
                found = (
                    await self._unasked(session, rule, silent)
                    if silent is not None
                    else await conditions.found(session, rule)
                )
            await alerts.settle(session, name, found)
            await session.commit()

    async def _tell_customers(self, rule: Rule) -> None:
        if not rule.enabled:
            return
        async with self._db.platform() as session:
            before = utc_now() - timedelta(seconds=rule.seconds)
            await trouble.tell_customers(session, waiting_since=before)
            await session.commit()

    async def _silent(self, rule: Rule) -> Mapping[str, float] | None:
        """For how long nobody asked each queue, as far as we know, of those that nobody
        asks now; None: not to be asked now, or nobody knows."""
        now, silent = time.monotonic(), list[str]()
        if now - self._asked_at < min(_ASK_QUEUES_EVERY, rule.seconds):
            return None
        self._asked_at = now
        try:
            for name in self._queues:
                ago = await self._pollers(name)
                if ago is not None:
                    served = max(self._served_at[name], now - ago)
                    self._served_at[name] = served
                if ago is None or ago > rule.seconds:
                    silent.append(name)
        except RPCError:
            # Temporal is away: a backlog of starts tells of that. Nobody could ask.
            self._served_at = dict.fromkeys(self._queues, now)
            return None
        return {name: now - self._served_at[name] for name in silent}

    async def _unasked(
        self, session: Session, rule: Rule, silent: Mapping[str, float]
    ) -> list[Finding]:
        """What we see for long enough; and what was alerted about stands until somebody
        asks, however short we look: another process, or we before, looked longer."""
        standing = await alerts.subjects(session, _QUEUES)
        return [
            Finding(
                tenant_id=MIGRAHOSTING,
                subject_id=subject_id,
                message=f"no worker has asked the queue {name} for {seconds:.0f} s",
                severity=rule.severity,
            )
            for name, seconds in silent.items()
            if (subject_id := conditions.named(_QUEUES, name)) in standing
            or seconds > rule.seconds
        ]


def pollers(client: Client) -> Pollers:
    """Asks Temporal, which forgets a poller after five minutes."""

    async def last_asked(queue: str) -> float | None:
        described = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            ),
            timeout=_ASK_WITHIN,
        )
        now = utc_now()
        seen = [
            (now - each.last_access_time.ToDatetime(tzinfo=now.tzinfo)).total_seconds()
            for each in described.pollers
        ]
        return min(seen, default=None)

    return last_asked
