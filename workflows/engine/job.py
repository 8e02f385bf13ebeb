"""The life of a job: its steps, its waiting for people, and its way back.

A workflow tells its story as a list of steps. A step that fails for good **parks**: the
job waits, for weeks if need be, until an operator decides. Nothing is undone by itself.
`retry` and `skip` go on with the story; an abort cancels it, waits until every step has
really ended, and takes back what was done, newest first.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    is_cancelled_exception,
)
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from activities.calls import (
        NOWHERE,
        Decided,
        Failure,
        JobRef,
        Origin,
        Parking,
        Resuming,
        SignalReceived,
        StepCall,
    )
    from activities.jobs import JobActivities

from models.states import Act, JobStatus, Reason
from workflows.engine import search
from workflows.engine.group import Group, ended
from workflows.engine.patience import AGAIN, ALIVE, NOTE, NOTE_TIME
from workflows.engine.steps import Step, step_of

JOB_ABORTED = "JobAborted"
JOB_ENDED = "JobEnded"

J = TypeVar("J", bound="JobWorkflow")


class JobWorkflow:
    """Base of every job's workflow, declared by `job_workflow`. A subclass gives
    `STEPS`, and a story of its own if it is more than these one after the other.
    `WAY_BACK`: what its undo does besides taking back the steps.
    """

    # In the order of the story; a later generation undoes from here and `effects`.
    STEPS: ClassVar[tuple[Step, ...]] = ()
    WAY_BACK: ClassVar[tuple[Step, ...]] = ()

    @workflow.init
    def __init__(self, ref: JobRef) -> None:
        self.ref = ref
        self._abort: Decided | None = (
            Decided(ref.abort, Act.ABORT_ITEM) if ref.abort else None
        )
        self._undoing = False
        self._stopped: list[asyncio.Task[Any]] = []
        self._rounds: dict[str, int] = {}
        self._parked: dict[str, Failure] = {}
        self._decided: dict[str, Decided] = {}
        self._signals: list[SignalReceived] = []
        self._signalled = 0
        self._lines: dict[str, str] = {}
        # What an earlier generation did is known by its effects, so all is undoable.
        self._undoable: list[Step] = (
            [step for step in self.STEPS if step.undo] if ref.generation > 1 else []
        )

    # --- the story ------------------------------------------------------------------

    async def story(self) -> None:
        """What is to be done: the steps, one after the other."""
        for step in self.STEPS:
            await self.step(step)

    async def tell(self, story: Coroutine[Any, Any, None]) -> None:
        """Runs the story to its end, or back to where it began.

        Ends Completed, Failed (`JobAborted`, `JobEnded`) or Cancelled, so that the
        Temporal UI tells the truth.
        """
        listening = asyncio.create_task(self._listen())
        telling = asyncio.create_task(story if self._abort is None else _nothing(story))
        outside: asyncio.CancelledError | None = None
        try:
            await workflow.wait_condition(
                lambda: telling.done() or self._abort is not None
            )
        except asyncio.CancelledError as cancelled:
            outside = cancelled
        self._stop(telling)
        await ended(telling)
        if outside is not None:
            raise outside
        if self._abort is None:
            telling.result()
            workflow.upsert_search_attributes(
                [search.JOB_STATUS.value_set(JobStatus.SUCCEEDED)]
            )
        else:
            await self._unwind()
        self._stop(listening)
        await ended(listening)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._abort is not None:
            raise ApplicationError(
                "aborted by an operator and undone",
                type=JOB_ABORTED,
                non_retryable=True,
            )

    def group(self) -> Group:
        """Steps side by side."""
        return Group(self._stop)

    def _stop(self, task: "asyncio.Task[Any]") -> None:
        """Cancels the task, and remembers it: the SDK forgets a cancellation that an
        activity outlived, and the story would go on."""
        self._stopped.append(task)
        task.cancel()

    def _end_if_stopped(self) -> None:
        """A stopped story neither begins a step nor waits for a person."""
        if asyncio.current_task() in self._stopped:
            raise asyncio.CancelledError

    async def step(self, step: Step, *, item: Any = None) -> Any:
        """Does the step, however long it takes and whoever must help.

        Returns what the activity returned, or None if an operator skipped it.
        """
        if step.undo is not None:
            known = [one.id for one in self._undoable]
            if step.id in known:  # by a later generation, perhaps in another queue
                self._undoable[known.index(step.id)] = step
            else:
                self._undoable.append(step)
        return await self._perform(step, item)

    async def undo(self) -> None:
        """Takes back what was begun, newest first. A subclass may know more."""
        for step in reversed(self._undoable):
            await self._perform(step.undoing(), None)

    async def _perform(self, step: Step, item: Any) -> Any:
        key = f"{step.id}:{item}" if item else step.id
        while True:
            self._line(key, "running")
            try:
                result = await self._attempt(step, key, item)
            except ActivityError as error:
                if is_cancelled_exception(error):
                    self._line(key, "cancelled")
                    raise
                self._end_if_stopped()
                failure = _failure(error)
            else:
                self._line(key, "done")
                return result
            if failure.reason in {Reason.ENDED, *step.ends}:
                self._line(key, _code(failure.message))
                raise ApplicationError(
                    failure.message, type=JOB_ENDED, non_retryable=True
                )
            if await self._park(step, key, failure) is Act.SKIP:
                self._line(key, "skipped by an operator")
                return None

    async def _attempt(self, step: Step, key: str, item: Any) -> Any:
        self._end_if_stopped()
        round_ = self._rounds.get(key, 0) + 1
        return await workflow.execute_activity_method(
            step.activity,
            StepCall(
                job_id=self.ref.job_id,
                tenant_id=self.ref.tenant_id,
                subject_id=self.ref.subject_id,
                generation=self.ref.generation,
                step=key,
                patience=step.patience.total_seconds(),
                item_id=item,
            ),
            activity_id=key if round_ == 1 else f"{key}#{round_}",
            task_queue=step.queue,
            start_to_close_timeout=step.time,
            heartbeat_timeout=ALIVE,
            retry_policy=AGAIN,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=step.summary,
        )

    # --- waiting for people ---------------------------------------------------------

    async def _park(self, step: Step, key: str, failure: Failure) -> Act:
        """Waits for a decision about this step: retry or skip (an abort cancels us)."""
        self._rounds[key] = self._rounds.get(key, 0) + 1
        self._parked[key] = failure
        self._decided.pop(key, None)
        self._line(
            key, f"**needs attention** ({failure.reason}): {_code(failure.message)}"
        )
        workflow.upsert_search_attributes(
            [
                search.JOB_STATUS.value_set(JobStatus.NEEDS_ATTENTION),
                search.JOB_STEP.value_set(key),
                search.JOB_REASON.value_set(failure.reason),
            ]
        )
        try:
            await self._note_down(
                JobActivities.record_parked,
                Parking(self.ref, key, self._rounds[key], failure),
            )
            await workflow.wait_condition(lambda: key in self._decided)
        finally:
            self._parked.pop(key)
        decided = self._decided.pop(key)
        if not self._parked:
            workflow.upsert_search_attributes(
                [
                    search.JOB_STATUS.value_set(
                        JobStatus.UNDOING if self._undoing else JobStatus.RUNNING
                    ),
                    search.JOB_REASON.value_unset(),
                    search.JOB_STEP.value_unset(),
                ]
            )
        await self._note_down(
            JobActivities.record_resumed,
            Resuming(
                self.ref,
                key,
                decided.act,
                tuple(self._parked),
                next(iter(self._parked.values()), None),
                decision_id=decided.id,
                leaves=tuple(sorted(step.leaves)),
                done_by_hand=step.done_by_hand,
            ),
        )
        # What a person has done by hand is found done by one more try.
        return Act.RETRY if step.done_by_hand else decided.act

    @workflow.update(description="Delivers an operator's decision, written before.")
    def decide(self, decided: Decided) -> None:
        """Takes effect at once; a second delivery of the same id is the same update."""
        self._take(decided)

    @decide.validator
    def _may_decide(self, decided: Decided) -> None:
        if refusal := self._refusal(decided):
            raise ApplicationError(refusal, type="DecisionRefused")

    @workflow.signal(
        name="retry",
        description='Try a parked step again. Input: nothing, or {"step": "..."}.',
    )
    def retry_by_signal(self, request: dict[str, str] | None = None) -> None:
        """From the Temporal UI; audited as unverified."""
        step = (request or {}).get("step")
        for key in [step] if step else list(self._parked):
            self._queue_signal(Act.RETRY, key, None)

    @workflow.signal(
        name="decide",
        description=(
            'With a one-time code of the API: {"act": "retry", "code": "..."};'
            " or skip, abort_item, abort_order."
        ),
    )
    def decide_by_signal(self, request: dict[str, str]) -> None:
        """From the Temporal UI; only a code tells who decides."""
        if request.get("act") in list(Act):
            self._queue_signal(
                Act(request["act"]), request.get("step"), request.get("code", "")
            )

    @workflow.query(description="What is done, what is under way, what waits.")
    def progress(self) -> dict[str, Any]:
        """{"steps": {step: state}, "parked": {step: reason}, "undoing": bool}."""
        return {
            "steps": dict(self._lines),
            "parked": {key: str(one.reason) for key, one in self._parked.items()},
            "undoing": self._undoing,
        }

    def _queue_signal(self, act: Act, step: str | None, code: str | None) -> None:
        self._signalled += 1
        self._signals.append(SignalReceived(self.ref, act, step, code, self._signalled))

    async def _listen(self) -> None:
        """A signal becomes a decision only after its row is written."""
        while True:
            await workflow.wait_condition(lambda: bool(self._signals))
            signal = self._signals.pop(0)
            if self._refusal(Decided(self.ref.job_id, signal.act, signal.step)):
                continue
            decided = await self._note_down(JobActivities.accept_signal, signal)
            if decided is not None and not self._refusal(decided):
                self._take(decided)

    def _refusal(self, decided: Decided) -> str | None:
        if decided.act in (Act.ABORT_ITEM, Act.ABORT_ORDER):
            return None  # a second one changes nothing
        step = decided.step or next(iter(self._parked), None)
        if step is None or step not in self._parked:
            return f"{decided.step or 'no step'} does not wait for a decision"
        if decided.act is Act.SKIP and not self._may_skip(step):
            return f"{step} cannot be skipped"
        return None

    def _may_skip(self, key: str) -> bool:
        step = step_of((*self.STEPS, *self.WAY_BACK), key)
        return step is not None and step.skippable

    def _take(self, decided: Decided) -> None:
        if decided.act in (Act.ABORT_ITEM, Act.ABORT_ORDER):
            self._abort = self._abort or decided
        else:
            step = decided.step or next(iter(self._parked))
            self._decided[step] = decided

    # --- the way back ---------------------------------------------------------------

    async def _unwind(self) -> None:
        self._undoing = True
        self._show()
        workflow.upsert_search_attributes(
            [
                search.JOB_STATUS.value_set(JobStatus.UNDOING),
                search.JOB_REASON.value_unset(),
                search.JOB_STEP.value_unset(),
            ]
        )
        await self._note_down(JobActivities.record_undoing, self.ref)
        await self.undo()
        await self._note_down(JobActivities.record_undone, self.ref)
        workflow.upsert_search_attributes(
            [search.JOB_STATUS.value_set(JobStatus.FAILED)]
        )

    async def _note_down(self, activity: Any, note: Any) -> Any:
        """Our own database only; a local activity costs no round trip."""
        return await workflow.execute_local_activity_method(
            activity,
            note,
            start_to_close_timeout=NOTE_TIME,
            retry_policy=NOTE,
        )

    # --- what the Temporal UI shows ---------------------------------------------------

    def _line(self, key: str, state: str) -> None:
        self._lines[key] = state
        self._show()

    def _show(self) -> None:
        lines = [f"- `{key}` {state}" for key, state in self._lines.items()]
        workflow.set_current_details("\n".join([*self._headline(), *lines]))

    def _headline(self) -> list[str]:
        told = []
        if self._undoing:
            told += ["**Aborted by an operator**: what was made is taken back.", ""]
        if self._parked:
            told += [
                "**Waits for a person.** When the cause is gone, go on by the signal"
                " `retry`; the signal `decide` wants a one-time code. What each act"
                f" would do: `mpanel inbox show {self.ref.job_id}`, or the console.",
                "",
            ]
        return told


def job_workflow(name: str) -> Callable[[type[J]], type[J]]:
    """Declares a job's workflow to Temporal under a name that histories keep for ever.

    Temporal wants `run` to be the class' own, with the parameters of `__init__`, so
    each is given one.
    """

    def declare(story: type[J]) -> type[J]:
        async def run(self, ref: JobRef) -> None:  # type: ignore[no-untyped-def] # noqa: ARG001
            await self.tell(self.story())

        run.__module__ = story.__module__
        run.__qualname__ = f"{story.__qualname__}.run"
        story.run = workflow.run(run)  # type: ignore[attr-defined]
        return workflow.defn(name=name)(story)

    return declare


def _code(words: str) -> str:
    """A provider's words as they are: neither a link nor a picture in the UI."""
    return "`{}`".format(words.replace("`", "'"))


def priority(*, batch: bool, tenant: str) -> Priority:
    """Interactive orders before batch work, fair between tenants."""
    return Priority(priority_key=4 if batch else 2, fairness_key=tenant)


async def _nothing(story: Coroutine[Any, Any, None]) -> None:
    """A run that begins with an abort tells no story."""
    story.close()


def _failure(error: ActivityError) -> Failure:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in list(Reason):
        return Failure(Reason(cause.type), cause.message, _origin(cause))
    return Failure(Reason.UNEXPECTED, type(cause).__name__ if cause else "unknown")


def _origin(error: ApplicationError) -> Origin:
    """As the worker told it; an older worker told none."""
    told = error.details[0] if error.details else None
    if not isinstance(told, dict):
        return NOWHERE
    words = ("provider", "error_class", "code")
    return Origin(*(str(told.get(word, "")) for word in words))
