"""Starts what is pending and delivers what was decided.

The jobs table is the outbox: whatever the API could not start, because Temporal was
away or the process died, is started here. Only roots and later generations are; a
`waiting` child belongs to its parent, so nothing unpaid is ever provisioned.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlmodel import col, or_, select
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from activities.calls import Decided, JobRef
from models.base import utc_now
from models.database import Database
from models.jobs import Decision, Job, workflow_id
from models.queries import jobs
from models.states import (
    CLOUDPOD_ACTS,
    OPEN_JOBS,
    UNDONE_JOBS,
    Act,
    DecisionStatus,
    JobKind,
    JobStatus,
)
from workers.tries import Key, Tries
from workflows.engine.start import start

_AT_ONCE = 20
# Whoever answers is a run, and it may be one that answers to nobody.
_ANSWERS_AT_ONCE = 200
_SLOW = 10
_DATABASE = 5
_BOUND = timedelta(seconds=5)
# A life that was ended from outside has lost what it was handed.
_HAND_OVER_AGAIN = 15.0
_LOOK_AGAIN = 1.0


class Sweep:
    """Both works may run in several processes at once: every act is idempotent."""

    def __init__(self, db: Database, client: Client) -> None:
        self._db, self._client = db, client
        self.starts = Tries(at_once=_AT_ONCE, slow=_SLOW)
        self.deliveries = Tries(at_once=_ANSWERS_AT_ONCE, slow=_SLOW)
        # The steps of orders need connections more than we do.
        self._few = asyncio.Semaphore(_DATABASE)

    async def start_pending(self) -> None:
        """Starts every root, and every later generation, that has no run yet."""
        async with self._db.looking() as session:
            found = await session.exec(
                select(Job)
                .where(
                    Job.status == JobStatus.PENDING,
                    Job.started_generation < Job.generation,
                    or_(col(Job.parent_id).is_(None), Job.generation > 1),
                    _others("jobs", self.starts.not_now()),
                )
                .order_by(col(Job.batch), col(Job.created_at))
                .limit(200)
            )
            pending = found.all()
            aborts = await jobs.open_aborts(session, pending)
        for job in pending:
            self.starts.begin(
                (job.id, job.generation),
                partial(self._start, job, aborts.get(job.id)),
                # A start is written down by Temporal; an act waits for a life's answer.
                slow=job.kind in CLOUDPOD_ACTS,
            )
        await self.starts.settle()

    async def _start(self, job: Job, abort: Decision | None) -> float | None:
        if job.kind in CLOUDPOD_ACTS:
            await self._start_acts_before(job)
        if not await self._begin(job, abort):
            # Its turn may be far away; its first step will say that it has come.
            return _HAND_OVER_AGAIN
        await jobs.started(self._db.direct, job)
        return None

    async def _start_acts_before(self, act: Job) -> None:
        """A life keeps the order in which it is told, so it is told in the order of
        asking, whoever tells it: what it knows already stays where it is."""
        async with self._few, self._db.looking() as session:
            earlier = await jobs.acts_before(session, act)
            aborts = await jobs.open_aborts(session, earlier)
        for one in earlier:
            await self._begin(one, aborts.get(one.id))

    async def _begin(self, job: Job, abort: Decision | None) -> bool:
        """False: it was handed to its CloudPod's life."""
        ref = JobRef(
            job_id=job.id,
            tenant_id=job.tenant_id,
            subject_id=job.subject_id,
            kind=JobKind(job.kind),
            generation=job.generation,
            abort=abort.id if abort else None,
        )
        if job.generation > 1:
            await self._end_earlier_run(job)
        async with asyncio.timeout(_BOUND.total_seconds()):
            return await start(self._client, ref, batch=job.batch)

    async def _end_earlier_run(self, job: Job) -> None:
        """A run that was only thought lost must not go on beside the new one."""
        earlier = workflow_id(JobKind(job.kind), job.id, job.generation - 1)
        try:
            await self._client.get_workflow_handle(earlier).terminate(
                "a later run of this job takes over", rpc_timeout=_BOUND
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def deliver_decisions(self) -> None:
        """Brings each written decision to its run, once: its id is the update's id."""
        async with self._db.looking() as session:
            found = await session.exec(
                select(Decision.id, Decision.generation)
                .join(Job, col(Job.id) == Decision.job_id)
                .where(
                    Decision.status == DecisionStatus.RECORDED,
                    # Before its start, a run is started with its abort.
                    ~(
                        (col(Job.status) == JobStatus.PENDING)
                        & (Job.started_generation < Job.generation)
                    ),
                    _others("decisions", self.deliveries.not_now()),
                )
                .order_by(col(Decision.created_at))
                .limit(_ANSWERS_AT_ONCE)
            )
            waiting = found.all()
        for decision_id, generation in waiting:
            self.deliveries.begin(
                (decision_id, generation),
                partial(self._deliver, decision_id),
                slow=False,
            )
        await self.deliveries.settle()

    async def _deliver(self, decision_id: UUID) -> float | None:
        async with self._few, self._db.platform() as session:
            decision = await session.get_one(Decision, decision_id)
            job = await session.get_one(Job, decision.job_id)
        refused: str | None = None
        try:
            run = self._client.get_workflow_handle(
                workflow_id(JobKind(job.kind), job.id, decision.generation)
            )
            async with asyncio.timeout(_BOUND.total_seconds()):
                await run.execute_update(
                    "decide",
                    Decided(decision.id, Act(decision.act), decision.step),
                    id=str(decision.id),
                    rpc_timeout=_BOUND,
                )
        except WorkflowUpdateFailedError as error:
            refused = str(error.cause)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if await self._is_over(decision):
                return _LOOK_AGAIN
            refused = "the job had ended"
        async with self._few, self._db.platform() as session:
            row = await session.get_one(Decision, decision_id, with_for_update=True)
            if row.status == DecisionStatus.RECORDED:
                row.status = (
                    DecisionStatus.REFUSED if refused else DecisionStatus.DELIVERED
                )
                row.refused, row.delivered_at = refused, utc_now()
            await session.commit()
        return None

    async def _is_over(self, decision: Decision) -> bool:
        """No run answers. True: the decision has found its way, or is to wait.

        A lost run is followed by a new generation; a job that was undone has had its
        abort; one that is open and not known to be lost yet has the reconciler's next
        look before it.
        """
        async with self._few, self._db.platform() as session:
            job = await jobs.get(session, decision.job_id, lock=True)
            row = await session.get_one(Decision, decision.id, with_for_update=True)
            current = job.generation == row.generation
            if row.status != DecisionStatus.RECORDED:
                return True
            if current and job.status in OPEN_JOBS:
                if job.reason not in jobs.RUN_GONE:
                    return True
                await jobs.begin_anew(session, job, row)
                if Act(row.act) is Act.RETRY:
                    row.status, row.delivered_at = DecisionStatus.DELIVERED, utc_now()
            elif current and job.status in UNDONE_JOBS and row.act in jobs.ABORTS:
                row.status, row.delivered_at = DecisionStatus.DELIVERED, utc_now()
            else:
                return False
            await session.commit()
        return True


def _others(table: str, keys: Sequence[Key]) -> TextClause:
    """That the row is none of these."""
    return text(
        f"({table}.id, {table}.generation) not in (select * from"  # noqa: S608
        " unnest(cast(:not_now as uuid[]), cast(:generations as int[])))"
    ).bindparams(
        not_now=[row for row, _ in keys], generations=[number for _, number in keys]
    )
