"""Accepting an order: every row it answers with, in the caller's one transaction.

Who comes first with a repeat key makes the order; everybody else waits for that
transaction at the unique key and reads its result.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select

from models.base import utc_now
from models.database import Session, tell_driver
from models.errors import Invalid, KeyReused, NotFound
from models.jobs import Job
from models.ordering import OrderRequest, Placed, PlacedLine, RepeatKey
from models.orders import Order, OrderItem, OrderRepeat
from models.products import Product
from models.queries.order_lines import (
    DELIVERED_BY,
    HOLDING,
    Draft,
    Host,
    add,
    draw_hosts,
    taken,
)
from models.states import JobKind

CONTENT_LASTS = timedelta(hours=24)

# Whoever has the key first goes on; from then on one customer's orders are placed one
# after the other. The Stripe customer that we knew first is kept.
_OPEN = (
    "with key as (insert into order_keys"
    " (id, created_at, tenant_id, key, body_hash, order_id, expires_at)"
    " values (%(key_id)s, %(now)s, %(tenant)s, %(key)s, %(body_hash)s, %(order)s,"
    " %(expires)s) on conflict (tenant_id, key) do update set"
    " created_at = excluded.created_at, body_hash = excluded.body_hash,"
    " order_id = excluded.order_id, expires_at = excluded.expires_at"
    " where order_keys.expires_at <= %(now)s returning order_id),"
    " buyer as (insert into customers (id, created_at, tenant_id, email, name, phone,"
    " address, status, stripe_customer_id) select %(customer)s, %(now)s, %(tenant)s,"
    " %(email)s, '', '', '{}', 'active', %(stripe)s from key"
    " on conflict (tenant_id, email) do update set stripe_customer_id ="
    " coalesce(customers.stripe_customer_id, excluded.stripe_customer_id)"
    " returning id)"
    " select (select id from buyer), (select jsonb_agg(to_jsonb(p)) from products p"
    " where p.tenant_id = %(tenant)s and p.code = any(%(codes)s)),"
    " (select array_agg(domain) from websites where domain = any(%(hosts)s)"
    " and status = any(%(holding)s))"
)
_READ_KEY = text(
    "select order_id, body_hash from order_keys"
    " where tenant_id = :tenant and key = :key"
)
_PLACED = text(
    "select o.customer_id, j.parent_id, i.product_id, i.subscription_id, i.job_id,"
    " j.kind from orders o join order_items i on i.order_id = o.id"
    " join jobs j on j.id = i.job_id where o.id = :order order by i.position"
)


async def place(
    session: Session,
    tenant_id: UUID,
    request: OrderRequest,
    *,
    key: RepeatKey | None,
    platform_domain: str,
    accepted_payment: str | None = None,
) -> Placed:
    """Writes customer, order, lines, services and jobs, or reads what is there.

    `key` None: the content tells repeats, for a day, and each repeat is held.
    `accepted_payment`: an operator's word for the payment that proves the order.
    Wants the platform's session; the caller commits. Raises `Invalid`.
    """
    order_id = uuid4()
    hosts = draw_hosts((line.code for line in request.lines), platform_domain)
    opened = await _open(session, tenant_id, request, key, order_id, hosts)
    connection = await session.connection()
    if opened is None:
        first = await _first(connection, tenant_id, request, key)
        if key is None:
            held = OrderRepeat(
                tenant_id=tenant_id, first_order_id=first, request=request.as_json()
            )
            await add(connection, [held])
        return await placed(connection, first)
    customer_id, found, names = opened
    products = _products(found, request)
    while names:
        anew = draw_hosts((line.code for line in request.lines), platform_domain)
        hosts = [
            new if old[1] in names else old
            for old, new in zip(hosts, anew, strict=True)
        ]
        names = await taken(connection, [host for _, host in hosts])
    root = Job(
        tenant_id=tenant_id,
        kind=JobKind.FULFIL_ORDER,
        subject_id=order_id,
        order_id=order_id,
        input={"accepted_payment": accepted_payment} if accepted_payment else {},
    )
    draft = Draft(root, customer_id, platform_domain)
    await draft.fill(connection, products, request, hosts=hosts)
    total, currency = draft.price()
    order = Order(
        id=order_id,
        tenant_id=tenant_id,
        customer_id=customer_id,
        source=request.source,
        total=total,
        currency=currency,
        stripe_customer_id=request.stripe_customer_id,
        stripe_payment_intent_id=request.stripe_payment_intent_id,
        stripe_checkout_session_id=request.stripe_checkout_session_id,
    )
    await draft.write(session, order)
    return Placed(order_id, root.id, customer_id, draft.placed(), job=root)


async def placed(connection: AsyncConnection, order_id: UUID) -> Placed:
    """The first result of an order. Raises `NotFound`."""
    rows = (await connection.execute(_PLACED, {"order": order_id})).all()
    if not rows:
        raise NotFound(f"there is no order {order_id}")
    return Placed(
        order_id=order_id,
        job_id=rows[0].parent_id,
        customer_id=rows[0].customer_id,
        lines=tuple(
            PlacedLine(
                row.product_id, row.subscription_id, row.job_id, JobKind(row.kind)
            )
            for row in rows
        ),
    )


async def _open(
    session: Session,
    tenant_id: UUID,
    request: OrderRequest,
    key: RepeatKey | None,
    order_id: UUID,
    hosts: Sequence[Host],
) -> tuple[UUID, list[Product], set[str]] | None:
    """(customer, the products of these codes, hosts that are taken); None: a repeat."""
    now = utc_now()
    asked = {
        "key_id": uuid4(),
        "now": now,
        "tenant": tenant_id,
        "key": key.key if key else request.content_key,
        "body_hash": request.body_hash,
        "order": order_id,
        "expires": None if key else now + CONTENT_LASTS,
        "customer": uuid4(),
        "email": request.email,
        "stripe": request.stripe_customer_id,
        "codes": [line.code for line in request.lines],
        "hosts": [host for _, host in hosts],
        "holding": HOLDING,
    }
    [(customer_id, products, names)] = await tell_driver(session, _OPEN, asked)
    if customer_id is None:
        return None
    found = [Product(**{**one, "id": UUID(one["id"])}) for one in products or ()]
    return customer_id, found, set(names or ())


async def _first(
    connection: AsyncConnection,
    tenant_id: UUID,
    request: OrderRequest,
    key: RepeatKey | None,
) -> UUID:
    """The order of whoever came first with the key."""
    name = key.key if key else request.content_key
    found = await connection.execute(_READ_KEY, {"tenant": tenant_id, "key": name})
    first = found.one()
    if key and key.same_body and first.body_hash != request.body_hash:
        raise KeyReused
    return UUID(str(first.order_id))


def _products(found: Iterable[Product], request: OrderRequest) -> Sequence[Product]:
    """The product of each line. Raises `Invalid` for what cannot be ordered."""
    by_code = {product.code: product for product in found}
    for position, line in enumerate(request.lines):
        field = f"items[{position}].code"
        product = by_code.get(line.code)
        if product is None:
            raise Invalid(field, f"there is no product with the code {line.code}")
        if product.status != "active":
            raise Invalid(field, f"{line.code} is not sold any more")
        if product.delivers.get("kind") not in DELIVERED_BY:
            raise Invalid(field, f"{line.code} cannot be delivered yet")
        if line.type is not None and line.type != product.type:
            raise Invalid(
                f"items[{position}].type", f"{line.code} is of the type {product.type}"
            )
        if line.ssh_keys and product.delivers["kind"] != "cloudpod":
            raise Invalid(f"items[{position}].sshKeys", f"{line.code} has no login")
    return [by_code[line.code] for line in request.lines]


async def lines(session: Session, order_id: UUID) -> list[tuple[OrderItem, Job]]:
    """The lines of an order, each with the job that delivers it."""
    rows = await session.exec(
        select(OrderItem, Job)
        .join(Job, col(Job.id) == col(OrderItem.job_id))
        .where(OrderItem.order_id == order_id)
        .order_by(col(OrderItem.position))
    )
    return list(rows.all())
