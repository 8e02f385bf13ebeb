"""What a step logs is about its job."""

from typing import Any, cast
from uuid import uuid4

import structlog
from structlog.contextvars import clear_contextvars
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.calls import Failure, JobRef, Parking, StepCall
from models.database import Database
from models.states import JobKind, Reason
from tests.logged import logged
from workers.progress import ProgressWriter
from workers.steps import StepInterceptor

JOB, TENANT = uuid4(), uuid4()
CALL = StepCall(JOB, TENANT, uuid4(), 1, "create_site", 60.0)
REF = JobRef(JOB, TENANT, uuid4(), JobKind.WEBSITE_PROVISION)
PARKING = Parking(REF, "create_site", 1, Failure(Reason.REJECTED, "no"))


class Work:
    """An activity that says something."""

    async def execute_activity(self, _: ExecuteActivityInput) -> None:
        structlog.get_logger().info("working")


async def test_a_step_and_a_note_know_their_job(db: Database) -> None:
    steps = StepInterceptor(ProgressWriter(db), patience=60, undo_patience=60)
    around = steps.intercept_activity(cast(ActivityInboundInterceptor, Work()))
    with logged() as lines:
        for given in (CALL, PARKING):
            clear_contextvars()
            await run(around, given)

    info = ActivityEnvironment.default_info()
    for line, step in zip(lines.of("working"), ("create_site",) * 2, strict=True):
        assert line["job_id"] == str(JOB)
        assert line["tenant_id"] == str(TENANT)
        assert line["workflow_id"] == info.workflow_id
        assert line["step"] == step


async def run(around: ActivityInboundInterceptor, given: Any) -> None:
    asked = ExecuteActivityInput(fn=print, args=[given], executor=None, headers={})
    await ActivityEnvironment().run(around.execute_activity, asked)
