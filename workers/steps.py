"""Around every step: a heartbeat, a line in the timeline, and the verdict on failure.

A cancelled step is let finish what it has begun at a provider. So when Temporal is told
that it ended, it has, and an undo cannot overtake it.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities.calls import JobRef, StepCall
from models.base import utc_now
from models.logs import about
from models.states import Reason, StepStatus
from workers.progress import ProgressWriter, StepLine
from workers.trouble import LONGEST, NOT_YET, Account, Verdict, judge, worn_out
from workflows.engine.steps import UNDO

_BEAT = 1.0
_AT_ONCE = 0.05


class StepInterceptor(Interceptor):
    """`patience`, `undo_patience`: the most that any step, any undo may have.

    `longest_wait`: the most seconds between two tries of one.
    """

    def __init__(
        self,
        progress: ProgressWriter,
        *,
        patience: float,
        undo_patience: float,
        longest_wait: float = LONGEST,
    ) -> None:
        self._progress = progress
        self._patience, self._undo_patience = patience, undo_patience
        self.longest_wait = longest_wait

    def intercept_activity(
        self, next: ActivityInboundInterceptor
    ) -> ActivityInboundInterceptor:
        """See base class."""
        return _Around(next, self)

    def patience_of(self, call: StepCall) -> float:
        """Seconds of trouble that this step endures."""
        most = self._undo_patience if call.step.startswith(UNDO) else self._patience
        return min(call.patience, most)

    def note(
        self, call: StepCall, account: Account, status: StepStatus, **told: Any
    ) -> None:
        """Hands a line of the timeline to the writer; never waits, never fails."""
        info = activity.info()
        ended = status not in (StepStatus.RUNNING, StepStatus.RETRYING)
        self._progress.put(
            StepLine(
                tenant_id=call.tenant_id,
                job_id=call.job_id,
                name=call.step,
                status=status,
                generation=call.generation,
                scheduled_at=info.scheduled_time,
                tried_at=info.started_time,
                phase=0 if status is StepStatus.RUNNING else 1,
                tries=account.tries,
                started_at=info.started_time,
                ended_at=utc_now() if ended else None,
                **told,
            )
        )


class _Around(ActivityInboundInterceptor):
    def __init__(
        self, next: ActivityInboundInterceptor, steps: StepInterceptor
    ) -> None:
        super().__init__(next)
        self._steps = steps

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        call = input.args[0] if input.args else None
        _log_about(call)
        if not isinstance(call, StepCall):
            return await self.next.execute_activity(input)
        account = _account_so_far()
        if verdict := worn_out(
            account, self._steps.patience_of(call), activity.info().task_queue
        ):
            self._note_failure(call, account, verdict)
            raise verdict.error()
        self._steps.note(call, account, StepStatus.RUNNING)
        beating = asyncio.create_task(_beat(account))
        began = time.monotonic()
        ending = _Ending()
        try:
            result = await ending.of(self.next.execute_activity(input))
        except Exception as error:  # noqa: BLE001 - every failure gets a verdict
            if ending.wanted_by_the_run:
                self._steps.note(call, account, StepStatus.CANCELLED)
                raise asyncio.CancelledError from None
            verdict = judge(
                error,
                account=account,
                elapsed=time.monotonic() - began,
                patience=self._steps.patience_of(call),
                longest=self._steps.longest_wait,
            )
            if ending.asked_for_now and verdict.delay is not None:
                verdict = replace(verdict, delay=_AT_ONCE)
            _remember(account, verdict.spent, verdict.odd)
            self._note_failure(call, account, verdict)
            raise verdict.error() from None
        finally:
            beating.cancel()
        self._steps.note(call, account, StepStatus.SUCCEEDED)
        return result

    def _note_failure(self, call: StepCall, account: Account, verdict: Verdict) -> None:
        told = {"code": verdict.reason, "message": verdict.message}
        if verdict.delay is None:
            over = verdict.reason == Reason.ENDED
            status = StepStatus.CANCELLED if over else StepStatus.PARKED
            self._steps.note(call, account, status, **told)
            return
        if verdict.reason == NOT_YET:
            told["code"] = "waiting"
        self._steps.note(
            call,
            account,
            StepStatus.RETRYING,
            next_retry_at=utc_now() + timedelta(seconds=verdict.delay),
            **told,
        )


def _log_about(call: object) -> None:
    """Each activity has a task of its own, and what it logs is about its job."""
    ref = getattr(call, "ref", call)
    if isinstance(ref, StepCall | JobRef):
        about(tenant_id=ref.tenant_id, job_id=ref.job_id)
    info = activity.info()
    about(workflow_id=info.workflow_id, step=getattr(call, "step", info.activity_type))


def _account_so_far() -> Account:
    """Tries whose worker died before their first beat left nothing but their number.

    Temporal's own count begins anew when somebody resets the step.
    """
    now, details = activity.info().attempt, activity.info().heartbeat_details
    if len(details) != 4:
        return Account(tries=now)
    tries, spent, odd, attempt = details
    missed = max(now - int(attempt), 1)
    return Account(tries=int(tries) + missed, spent=float(spent), odd=int(odd))


class _Ending:
    """Lets a step end by itself, and knows who wanted it to end before."""

    def __init__(self) -> None:
        self._cancelled = False

    async def of(self, step: Awaitable[Any]) -> Any:
        """What the step returns or raises, however often it is cancelled."""
        task = asyncio.ensure_future(step)
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                self._cancelled = True
        return task.result()

    @property
    def wanted_by_the_run(self) -> bool:
        """Its story was stopped; else it was a reset, a pause or a shutdown."""
        why = activity.cancellation_details()
        return self._cancelled and why is not None and why.cancel_requested

    @property
    def asked_for_now(self) -> bool:
        """Somebody reset the step while it ran: it is to be tried again at once."""
        why = activity.cancellation_details()
        return self._cancelled and why is not None and why.reset


async def _beat(account: Account) -> None:
    """A try that ends without an answer has used up the time it took.

    A step that is done within the first beat costs Temporal no call but its end.
    """
    began = time.monotonic()
    while True:
        await asyncio.sleep(_BEAT)
        _remember(account, account.spent + time.monotonic() - began, account.odd)


def _remember(account: Account, spent: float, odd: int) -> None:
    """What the next try, on whichever worker, goes on with."""
    activity.heartbeat(account.tries, spent, odd, activity.info().attempt)
