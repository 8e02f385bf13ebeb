"""The words of our mail. Plain text: it reads everywhere and is never blocked."""

from collections.abc import Mapping
from typing import Any

_LETTERS: Mapping[str, tuple[str, str]] = {
    "welcome": (
        "Your order is ready: {things}",
        "Hello,\n\nthank you for your order {short}. It is ready:\n\n{list}\n\n"
        "Everything about it: {public_url}/api/orders/{order_id}\n\n"
        "Your MigraHosting team\n",
    ),
    "order_failed": (
        "Your order {short} could not be delivered",
        "Hello,\n\nwe could not deliver your order {short}. What you paid for it is"
        " being refunded to the same card or account; nothing else is charged.\n\n"
        "We are sorry.\n\nYour MigraHosting team\n",
    ),
    "order_cancelled": (
        "Your order {short} was cancelled",
        "Hello,\n\nyour order {short} was cancelled before it was paid. Nothing was"
        " charged.\n\nYour MigraHosting team\n",
    ),
    "job.needs_attention": (
        "[mpanel] {kind} needs a decision: {cause}",
        "Job {jobId} ({kind}) waits for a person.\n\nCause: {cause}\n{message}\n\n"
        "Steps:   GET  {public_url}/api/jobs/{jobId}/steps\n"
        "Go on:   POST {public_url}/api/jobs/{jobId}/retry\n"
        "Give up: POST {public_url}/api/jobs/{jobId}/abort\n",
    ),
    "payment.unclaimed": (
        "[mpanel] A payment nobody claimed: {amount} {currency}",
        "Payment {paymentIntentId} succeeded at {paidAt} and no order claims it.\n\n"
        "Make the order or the refund: {public_url}/api/payments/unclaimed\n",
    ),
    "orphan.found": (
        "[mpanel] Nobody's: {what}",
        "{what} carries our mark, and our ledger of effects knows nothing of it.\n"
        "This happens when the database was taken back in time. Find out whose it is,"
        " then take it away there by hand.\n\n"
        "All of them: {public_url}/api/alerts?status=open\n",
    ),
    "books.unbalanced": (
        "[mpanel] The books do not balance",
        "What succeeded at Stripe is not what orders, invoices, refunds and the list"
        " of unclaimed payments account for:\n\n{faults}\n\n"
        "See: mpanel doctor --money\n",
    ),
    "effect.orphan": (
        "[mpanel] Found and removed: {kind} {reference}",
        "A {kind} at {provider} appeared after it had been undone. It was removed"
        " again.\n\nReference: {reference}\n",
    ),
}


def letter(template: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """(subject, text). KeyError names a template or a fact that is missing."""
    subject, text = _LETTERS[template]
    return subject.format_map(facts), text.format_map(facts)
