"""`python -m tests.bench.bare_web`: the yardstick of a request. FastAPI routes that
take and give the same bodies, behind the same server, and do nothing else."""

import argparse
from uuid import UUID, uuid4

import uvicorn
from fastapi import FastAPI

from api.mpanel.jobs import JobOut
from api.webhooks.orders import (
    OrderCreatedIn,
    OrderReceivedOut,
    SubscriptionOut,
    TaskOut,
)
from models.base import utc_now
from models.states import JobKind, JobStatus

app = FastAPI()


@app.get("/api/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/order", status_code=202)
async def order(body: OrderCreatedIn) -> OrderReceivedOut:
    subscriptions = [
        SubscriptionOut(id=uuid4(), product_id=uuid4()) for _ in body.items
    ]
    tasks = [TaskOut(id=uuid4(), type=JobKind.WEBSITE_PROVISION) for _ in body.items]
    return OrderReceivedOut(
        customer_id=uuid4(),
        subscriptions=subscriptions,
        tasks=tasks,
        order_id=uuid4(),
        job_id=uuid4(),
        deduplicated=False,
    )


@app.get("/jobs/{id}")
async def job(id: UUID) -> JobOut:
    now = utc_now()
    return JobOut(
        id=id,
        tenant_id=id,
        type=JobKind.WEBSITE_PROVISION,
        status="completed",
        state=JobStatus.SUCCEEDED,
        target_id=id,
        order_id=id,
        parent_id=id,
        generation=1,
        step=None,
        reason=None,
        message=None,
        created_at=now,
        updated_at=now,
        started_at=now,
        ended_at=now,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    uvicorn.run(
        app,
        port=parser.parse_args().port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
