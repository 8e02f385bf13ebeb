"""Finding jobs by whatever word somebody has at hand: one indexed query for each kind.

The session's scope holds: another tenant's rows are not found.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, union
from sqlmodel import col, select

from models.cloudpods import CloudPod
from models.customers import Customer
from models.database import Session
from models.effects import Effect
from models.inbox import StripeEventReceived
from models.jobs import Job
from models.orders import Order, OrderItem
from models.payments import PaymentClaim, PaymentRefund
from models.websites import Website

MOST: Final = 50

# Selects the ids of orders, of things that jobs are about, or of jobs.
Ids = Select[Any] | Any
_RUN: Final = re.compile(r"[a-z_]+:([0-9a-f-]{36})(?::r\d{1,9})?")


async def jobs_by(session: Session, word: str) -> Sequence[UUID]:
    """The ids of the jobs that the word leads to, the newest first, at most `MOST`.

    A word is an id of ours, a run's id, an e-mail address, a domain, an id of Stripe's
    (pi_, ch_, cs_, cus_, re_, evt_), an IP address, or whatever another provider calls
    what we made there.
    """
    word = word.strip()
    if word.startswith("evt_"):
        word = await _object_of(session, word) or ""
    asked = _asked(word)
    return [] if asked is None else list((await session.exec(asked)).all())


def _asked(word: str) -> Any:
    """The one query for a word of this kind; None for a word that is none."""
    run = _RUN.fullmatch(word)
    if (our_id := _uuid(run[1] if run else word)) is not None:
        return _by_our_id(our_id)
    for prefix, orders in _BY_PREFIX.items():
        if word.startswith(prefix):
            return _newest(*(_of_orders(one) for one in orders(word)))
    if "@" in word:
        return _by_email(word.lower())
    if (ip := _ip(word)) is not None:
        return _newest(
            _about(select(CloudPod.id).where(CloudPod.ipv4 == ip)),
            _about(select(CloudPod.id).where(CloudPod.ipv6 == ip)),
        )
    if "." in word:
        return _by_domain(word.lower().rstrip("."))
    return _by_remote(word) if word else None


def _by_our_id(our_id: UUID) -> Any:
    """Which of our ids it is, the word itself does not tell."""
    customers = select(Order.id).where(Order.customer_id == our_id)
    bought = select(OrderItem.order_id).where(OrderItem.subscription_id == our_id)
    owned = select(Website.id).where(Website.customer_id == our_id)
    return _newest(
        select(Job.id).where(Job.id == our_id),
        select(Job.id).where(Job.order_id == our_id),
        select(Job.id).where(Job.subject_id == our_id),
        select(Effect.job_id).where(Effect.reference == str(our_id)),
        _of_orders(customers),
        _of_orders(bought),
        _about(owned),
        _about(select(CloudPod.id).where(CloudPod.customer_id == our_id)),
        _about(select(CloudPod.id).where(CloudPod.subscription_id == our_id)),
    )


def _by_email(email: str) -> Any:
    known = select(Customer.id).where(Customer.email == email)
    return _newest(
        _of_orders(select(Order.id).where(col(Order.customer_id).in_(known))),
        _about(select(Website.id).where(col(Website.customer_id).in_(known))),
        _about(select(CloudPod.id).where(col(CloudPod.customer_id).in_(known))),
    )


def _by_domain(domain: str) -> Any:
    sites = select(Website.subscription_id).where(Website.domain == domain)
    return _newest(
        _about(select(Website.id).where(Website.domain == domain)),
        _about(select(CloudPod.id).where(CloudPod.hostname == domain)),
        _of_orders(
            select(OrderItem.order_id).where(col(OrderItem.subscription_id).in_(sites))
        ),
        select(Effect.job_id).where(Effect.remote_id == domain),
    )


def _by_remote(word: str) -> Any:
    return _newest(
        select(Effect.job_id).where(Effect.remote_id == word),
        select(Effect.job_id).where(Effect.reference == word),
    )


def _of_payment(word: str) -> Sequence[Ids]:
    return (
        select(Order.id).where(Order.stripe_payment_intent_id == word),
        select(PaymentClaim.order_id).where(
            PaymentClaim.stripe_payment_intent_id == word
        ),
        select(PaymentRefund.order_id).where(
            PaymentRefund.stripe_payment_intent_id == word
        ),
    )


def _of_charge(word: str) -> Sequence[Ids]:
    return (select(PaymentClaim.order_id).where(PaymentClaim.stripe_charge_id == word),)


_BY_PREFIX: Final[Mapping[str, Callable[[str], Sequence[Ids]]]] = {
    "pi_": _of_payment,
    "ch_": _of_charge,
    "py_": _of_charge,
    "cus_": lambda word: (select(Order.id).where(Order.stripe_customer_id == word),),
    "cs_": lambda word: (
        select(Order.id).where(Order.stripe_checkout_session_id == word),
    ),
    "re_": lambda word: (
        select(PaymentRefund.order_id).where(PaymentRefund.stripe_refund_id == word),
    ),
}


def _of_orders(orders: Ids) -> Any:
    return select(Job.id).where(col(Job.order_id).in_(orders))


def _about(subjects: Ids) -> Any:
    return select(Job.id).where(col(Job.subject_id).in_(subjects))


def _newest(*job_ids: Any) -> Any:
    # Not `or`: each branch finds its own index.
    found = union(*job_ids).subquery()
    return (
        select(Job.id)
        .join(found, col(Job.id) == found.c[0])
        .order_by(col(Job.created_at).desc(), col(Job.id))
        .limit(MOST)
    )


async def _object_of(session: Session, event_id: str) -> str | None:
    """What the event was about; never another event."""
    asked = select(StripeEventReceived.object_id).where(
        StripeEventReceived.event_id == event_id
    )
    about = (await session.exec(asked)).one_or_none()
    return None if not about or about.startswith("evt_") else about


def _ip(word: str) -> str | None:
    try:
        return str(ip_address(word))
    except ValueError:
        return None


def _uuid(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None
