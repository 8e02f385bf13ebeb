"""/api/dashboard."""

from collections import Counter

from fastapi import APIRouter

from api.deps import InProcess, Reader, Rows
from api.mpanel.jobs import WORDS
from api.schemas import SIGNED_IN, CamelModel
from api.services import dashboard as service
from api.services.dashboard import Summary

router = APIRouter(prefix="/dashboard", tags=["dashboard"])


class TasksOut(CamelModel):
    """Jobs that are open, by their word; those that failed in the last 30 days."""

    pending: int
    running: int
    needs_attention: int
    failed: int


class SummaryOut(CamelModel):
    """`subscriptions` and `websites` count what is in use. No invoice is kept yet."""

    customers: int
    subscriptions: int
    websites: int
    servers: int
    unpaid_invoices: int = 0
    provisioning_tasks: TasksOut

    @classmethod
    def of(cls, summary: Summary) -> "SummaryOut":
        """In the words of the contract."""
        counts, words = summary.counts, Counter[str]()
        for state, number in counts.open_jobs.items():
            words[WORDS[state]] += number
        return cls(
            customers=counts.customers,
            subscriptions=counts.services,
            websites=counts.websites,
            servers=summary.servers,
            provisioning_tasks=TasksOut(
                pending=words["pending"],
                running=words["running"],
                needs_attention=words["needs_attention"],
                failed=counts.failed_jobs,
            ),
        )


@router.get("/summary", responses=SIGNED_IN)
async def get_summary(actor: Reader, rows: Rows, parts: InProcess) -> SummaryOut:
    """How much there is of everything in the caller's sight, and how the work goes."""
    return SummaryOut.of(await service.summary(rows, parts.db, actor))
