"""Search attributes: what an operator filters by in the Temporal UI."""

from typing import Final

from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)

from activities.calls import JobRef
from models.states import JobStatus

JOB_KIND: Final = SearchAttributeKey.for_keyword("JobKind")
JOB_STATUS: Final = SearchAttributeKey.for_keyword("JobStatus")
JOB_STEP: Final = SearchAttributeKey.for_keyword("JobStep")
JOB_REASON: Final = SearchAttributeKey.for_keyword("JobReason")
TENANT_ID: Final = SearchAttributeKey.for_keyword("TenantId")
SUBJECT_ID: Final = SearchAttributeKey.for_keyword("SubjectId")

KEYS: Final = (JOB_KIND, JOB_STATUS, JOB_STEP, JOB_REASON, TENANT_ID, SUBJECT_ID)


def of(ref: JobRef) -> TypedSearchAttributes:
    """What a run starts with."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(JOB_KIND, str(ref.kind)),
            SearchAttributePair(JOB_STATUS, str(JobStatus.RUNNING)),
            SearchAttributePair(TENANT_ID, str(ref.tenant_id)),
            SearchAttributePair(SUBJECT_ID, str(ref.subject_id)),
        ]
    )


def of_subject(ref: JobRef) -> TypedSearchAttributes:
    """Of a run that is no job, and keeps the jobs of one subject in order."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(TENANT_ID, str(ref.tenant_id)),
            SearchAttributePair(SUBJECT_ID, str(ref.subject_id)),
        ]
    )
