"""Accepting an order: every row it answers with, in the caller's one transaction.

Who comes first with a repeat key makes the order; everybody else waits for that
transaction at the unique key and reads its result.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select

from models.base import utc_now
from models.database import Session
from models.errors import Invalid, KeyReused, NotFound
from models.jobs import Job
from models.ordering import OrderRequest, Placed, PlacedLine, RepeatKey
from models.orders import Order, OrderItem, OrderRepeat
from models.products import Product
from models.queries.order_lines import DELIVERED_BY, Draft, add
from models.states import JobKind

CONTENT_LASTS = timedelta(hours=24)

_TAKE_KEY = text(
    "insert into order_keys"
    " (id, created_at, tenant_id, key, body_hash, order_id, expires_at)"
    " values (:id, :now, :tenant, :key, :body_hash, :order, :expires)"
    " on conflict (tenant_id, key) do update set created_at = excluded.created_at,"
    " body_hash = excluded.body_hash, order_id = excluded.order_id,"
    " expires_at = excluded.expires_at where order_keys.expires_at <= :now"
    " returning order_id"
)
_READ_KEY = text(
    "select order_id, body_hash from order_keys"
    " where tenant_id = :tenant and key = :key"
)
_CUSTOMER = text(
    "insert into customers"
    " (id, created_at, tenant_id, email, name, phone, address, status,"
    " stripe_customer_id)"
    " values (:id, :now, :tenant, :email, '', '', '{}', 'active', :stripe)"
    " on conflict (tenant_id, email) do update set stripe_customer_id ="
    " coalesce(customers.stripe_customer_id, excluded.stripe_customer_id)"
    " returning id"
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
    connection = await session.connection()
    order_id = uuid4()
    first = await _first(connection, tenant_id, request, key, order_id)
    if first is not None:
        if key is None:
            held = OrderRepeat(
                tenant_id=tenant_id, first_order_id=first, request=request.as_json()
            )
            await add(connection, [held])
        return await placed(connection, first)
    products = await _products(session, tenant_id, request)
    # From here on one customer's orders are placed one after the other.
    customer_id = await _customer(connection, tenant_id, request)
    root = Job(
        tenant_id=tenant_id,
        kind=JobKind.FULFIL_ORDER,
        subject_id=order_id,
        order_id=order_id,
        input={"accepted_payment": accepted_payment} if accepted_payment else {},
    )
    draft = Draft(root, customer_id, platform_domain)
    await draft.fill(connection, products, domain=request.domain)
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
    await add(connection, [order])
    await draft.write(connection)
    await connection.execute(text("select pg_notify('mpanel', 'start')"))
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


async def _first(
    connection: AsyncConnection,
    tenant_id: UUID,
    request: OrderRequest,
    key: RepeatKey | None,
    order_id: UUID,
) -> UUID | None:
    """None if the key is ours now; else the order of whoever was first."""
    now = utc_now()
    name = key.key if key else request.content_key
    taken = await connection.execute(
        _TAKE_KEY,
        {
            "id": uuid4(),
            "now": now,
            "tenant": tenant_id,
            "key": name,
            "body_hash": request.body_hash,
            "order": order_id,
            "expires": None if key else now + CONTENT_LASTS,
        },
    )
    if taken.first() is not None:
        return None
    found = await connection.execute(_READ_KEY, {"tenant": tenant_id, "key": name})
    first = found.one()
    if key and key.same_body and first.body_hash != request.body_hash:
        raise KeyReused
    return UUID(str(first.order_id))


async def _customer(
    connection: AsyncConnection, tenant_id: UUID, request: OrderRequest
) -> UUID:
    """One per e-mail address; the Stripe customer we knew first is kept."""
    found = await connection.execute(
        _CUSTOMER,
        {
            "id": uuid4(),
            "now": utc_now(),
            "tenant": tenant_id,
            "email": request.email,
            "stripe": request.stripe_customer_id,
        },
    )
    return UUID(str(found.scalar_one()))


async def _products(
    session: Session, tenant_id: UUID, request: OrderRequest
) -> Sequence[Product]:
    """The product of each line. Raises `Invalid` for what cannot be ordered."""
    found = await session.exec(
        select(Product).where(
            Product.tenant_id == tenant_id,
            col(Product.code).in_({line.code for line in request.lines}),
        )
    )
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
