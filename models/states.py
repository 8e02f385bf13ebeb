"""Every state of every entity, and how one may follow another. Stdlib only: the one
models module that workflows import. The surfaces map these words to their own."""

from enum import StrEnum


class JobKind(StrEnum):
    FULFIL_ORDER = "fulfil_order"
    WEBSITE_PROVISION = "website_provision"
    WEBSITE_DELETE = "website_delete"
    WEBSITE_SUSPEND = "website_suspend"
    WEBSITE_RESUME = "website_resume"
    WEBSITE_BACKUP = "website_backup"
    WEBSITE_RESTORE = "website_restore"
    BACKUPS_ENABLE = "backups_enable"
    CLOUDPOD_PROVISION = "cloudpod_provision"
    CLOUDPOD_SUSPEND = "cloudpod_suspend"
    CLOUDPOD_RESUME = "cloudpod_resume"
    CLOUDPOD_RESTART = "cloudpod_restart"
    CLOUDPOD_RESIZE = "cloudpod_resize"
    CLOUDPOD_RENAME = "cloudpod_rename"
    CLOUDPOD_SNAPSHOT = "cloudpod_snapshot"
    CLOUDPOD_ROLLBACK = "cloudpod_rollback"
    CLOUDPOD_BACKUP = "cloudpod_backup"
    CLOUDPOD_RESTORE = "cloudpod_restore"
    CLOUDPOD_REBUILD = "cloudpod_rebuild"
    CLOUDPOD_DELETE = "cloudpod_delete"
    CLOUDPOD_MOVE = "cloudpod_move"
    CLOUDPOD_REPAIR = "cloudpod_repair"
    NODE_DRAIN = "node_drain"


class JobStatus(StrEnum):
    WAITING = "waiting"  # a child that only its parent may release
    PENDING = "pending"  # a root that the sweep starts
    RUNNING = "running"
    NEEDS_ATTENTION = "needs_attention"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # given up and undone
    CANCELLED = "cancelled"  # ended before it did anything


class StepStatus(StrEnum):
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    PARKED = "parked"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Act(StrEnum):
    """What an operator may decide about a job."""

    RETRY = "retry"
    SKIP = "skip"
    ABORT_ITEM = "abort_item"
    ABORT_ORDER = "abort_order"


class DecisionStatus(StrEnum):
    RECORDED = "recorded"
    DELIVERED = "delivered"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why a job waits for a person. In a search attribute, so never free text.

    With `run_stuck` and `no_worker` it waits for no decision: it goes on by itself when
    the cause is gone.
    """

    REJECTED = "provider_rejected"
    CONFLICT = "conflict"
    OUT_OF_PATIENCE = "out_of_patience"
    PAYMENT_AMBIGUOUS = "payment_ambiguous"
    PAYMENT_EXPIRED = "payment_expired"
    NO_CAPACITY = "no_capacity"
    INVALID = "invalid"
    UNEXPECTED = "unexpected_error"
    RUN_LOST = "run_lost"
    RUN_ENDED_OUTSIDE = "run_ended_outside"
    RUN_STUCK = "run_stuck"
    NO_WORKER = "no_worker"
    ENDED = "job_ended"  # nothing to decide: the job is over, or another run has it


class ErrorClass(StrEnum):
    """What kind of trouble a provider made; see `activities/errors.py`."""

    DOWN = "down"
    THROTTLED = "throttled"
    REJECTED = "rejected"
    CONFLICT = "conflict"


class OrderStatus(StrEnum):
    AWAITING_PAYMENT = "awaiting_payment"
    FULFILLING = "fulfilling"
    COMPLETED = "completed"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class ServiceStatus(StrEnum):
    """Of a subscription and of what it delivers (a website, a backup plan)."""

    PENDING = "pending"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    FAILED = "failed"


class GuestKind(StrEnum):
    """What a CloudPod is at Proxmox, in its words."""

    QEMU = "qemu"
    LXC = "lxc"


class Drift(StrEnum):
    """How a CloudPod's guest is not as we brought it about."""

    GONE = "gone"
    STOPPED = "stopped"  # though it is active
    RUNNING = "running"  # though it is suspended
    FOREIGN = "foreign"  # somebody else's guest has its VMID
    ELSEWHERE = "elsewhere"  # on another node than we put it


class SuspensionReason(StrEnum):
    """Why a service is suspended: whoever has that reason lifts it, nobody else."""

    NON_PAYMENT = "non_payment"
    ABUSE = "abuse"
    ADMIN = "admin"
    TENANT_REQUEST = "tenant_request"


class SaveKind(StrEnum):
    SNAPSHOT = "snapshot"
    BACKUP = "backup"


class AddressStatus(StrEnum):
    FREE = "free"
    LEASED = "leased"
    RESTING = "resting"  # in quarantine: caches and firewalls still know its last owner


class EffectState(StrEnum):
    INTENDED = "intended"
    PRESENT = "present"
    REMOVED = "removed"


class RefundStatus(StrEnum):
    INTENDED = "intended"
    MADE = "made"
    FAILED = "failed"  # Stripe could not give it back after all
    SETTLED = "settled"  # given back by hand, as an operator says


class UnclaimedStatus(StrEnum):
    LISTED = "listed"
    ORDERED = "ordered"
    REFUNDED = "refunded"
    CLAIMED = "claimed"


class RepeatStatus(StrEnum):
    HELD = "held"
    ORDERED = "ordered"
    DUPLICATE = "duplicate"


class OutboxStatus(StrEnum):
    HELD = "held"  # for operators; not released yet, or it is their night
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"  # given up
    BOUNCED = "bounced"  # the recipient's server does not take it
    FOLDED = "folded"  # told as a line of a digest
    SILENCED = "silenced"  # what it tells of was acknowledged before


class Severity(StrEnum):
    """How much an alert matters. Only `critical` wakes somebody at night."""

    WARNING = "warning"
    CRITICAL = "critical"


class AlertStatus(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class BackupStatus(StrEnum):
    RUNNING = "running"
    STORED = "stored"
    FAILED = "failed"
    EXPIRED = "expired"


# What a CloudPod is asked for, one after the other, in the order of asking.
CLOUDPOD_ACTS = (
    JobKind.CLOUDPOD_SUSPEND,
    JobKind.CLOUDPOD_RESUME,
    JobKind.CLOUDPOD_RESTART,
    JobKind.CLOUDPOD_RESIZE,
    JobKind.CLOUDPOD_RENAME,
    JobKind.CLOUDPOD_SNAPSHOT,
    JobKind.CLOUDPOD_ROLLBACK,
    JobKind.CLOUDPOD_BACKUP,
    JobKind.CLOUDPOD_RESTORE,
    JobKind.CLOUDPOD_REBUILD,
    JobKind.CLOUDPOD_DELETE,
    JobKind.CLOUDPOD_MOVE,
    JobKind.CLOUDPOD_REPAIR,
)

OPEN_JOBS = (
    JobStatus.WAITING,
    JobStatus.PENDING,
    JobStatus.RUNNING,
    JobStatus.NEEDS_ATTENTION,
    JobStatus.UNDOING,
)

GIVEN_BACK = (RefundStatus.MADE, RefundStatus.SETTLED)

UNDONE_JOBS = (JobStatus.FAILED, JobStatus.CANCELLED)

ORDER_MOVES: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.AWAITING_PAYMENT: frozenset(
        {OrderStatus.FULFILLING, OrderStatus.CANCELLED, OrderStatus.EXPIRED}
    ),
    OrderStatus.FULFILLING: frozenset(
        {OrderStatus.COMPLETED, OrderStatus.PARTIALLY_FULFILLED, OrderStatus.FAILED}
    ),
    # A later abort takes live items back.
    OrderStatus.COMPLETED: frozenset(
        {OrderStatus.PARTIALLY_FULFILLED, OrderStatus.FAILED}
    ),
    OrderStatus.PARTIALLY_FULFILLED: frozenset({OrderStatus.FAILED}),
    OrderStatus.FAILED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
    # A payment that arrives late revives the order.
    OrderStatus.EXPIRED: frozenset(
        {OrderStatus.AWAITING_PAYMENT, OrderStatus.FULFILLING, OrderStatus.CANCELLED}
    ),
}

_GONE = frozenset({ServiceStatus.TERMINATED})
_UNDONE = frozenset({ServiceStatus.FAILED})

SERVICE_MOVES: dict[ServiceStatus, frozenset[ServiceStatus]] = {
    ServiceStatus.PENDING: frozenset(
        {ServiceStatus.PROVISIONING, ServiceStatus.ACTIVE, *_UNDONE, *_GONE}
    ),
    ServiceStatus.PROVISIONING: frozenset({ServiceStatus.ACTIVE, *_UNDONE}),
    ServiceStatus.ACTIVE: frozenset(
        {ServiceStatus.SUSPENDED, ServiceStatus.TERMINATING, *_UNDONE, *_GONE}
    ),
    ServiceStatus.SUSPENDED: frozenset(
        {ServiceStatus.ACTIVE, ServiceStatus.TERMINATING, *_UNDONE, *_GONE}
    ),
    # A removal that is called off before its point of no return brings it back.
    ServiceStatus.TERMINATING: frozenset(
        {ServiceStatus.ACTIVE, ServiceStatus.SUSPENDED, *_GONE, *_UNDONE}
    ),
    ServiceStatus.TERMINATED: frozenset(),
    # A new generation of the job builds it after all.
    ServiceStatus.FAILED: frozenset(
        {ServiceStatus.PROVISIONING, ServiceStatus.TERMINATING, *_GONE}
    ),
}


class Health(StrEnum):
    """What is seen of something that we depend on."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    NOT_CONFIGURED = "not_configured"
