"""Accepting an order: one statement reads what is needed, one writes all of it.

Between the two everything is decided here, past the ORM, whose rows and round trips
would cost the door more than all the rest. What was read for an order before is
believed: the statement that writes does so only if it is still true. Who comes first
with a repeat key makes the order; everybody else waits for that statement at the
unique key and reads its result.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from sqlmodel import col, select

from models.backups import BackupPlan
from models.base import Row, utc_now
from models.database import Ask, Session
from models.errors import Invalid, KeyReused, NotFound, Unavailable
from models.jobs import Job
from models.ordering import OrderRequest, Placed, PlacedLine, RepeatKey
from models.orders import OrderItem, OrderRepeat
from models.products import Offer
from models.queries.inserts import as_rows, inserting, new_row
from models.queries.order_lines import (
    DELIVERED_BY,
    FREED,
    HOLDING,
    Draft,
)
from models.states import JobKind

CONTENT_LASTS = timedelta(hours=24)

# Whoever loses the race for a key finds the winner's order at the next look; a name
# that is taken is drawn anew.
_TRIES: Final = 8

# What each product says, and one word that changes with any of it.
_CATALOGUE: Final = (
    "(select coalesce(md5(string_agg(p::text, ',' order by code)), '') from products p"
    " where tenant_id = %(tenant)s and code = any(%(codes)s))"
)
_LOOK: Final = (
    "select k.order_id, k.body_hash, (select jsonb_agg("  # noqa: S608
    "jsonb_build_array(id, code, sku, type, billing_cycles, attributes, delivers,"
    " status)) from products where tenant_id = %(tenant)s and code = any(%(codes)s)),"
    f" {_CATALOGUE} from (select) here"
    " left join order_keys k on k.tenant_id = %(tenant)s and k.key = %(key)s"
    " and (k.expires_at is null or k.expires_at > %(now)s)"
)
# Whoever has the key first makes the order, if what it was made of is still so: the
# prices are those of the catalogue, and no website has taken a name.
_KEY: Final = (
    "insert into order_keys (id, created_at, tenant_id, key, body_hash, order_id,"  # noqa: S608
    " expires_at) select %(key_id)s, %(now)s, %(tenant)s, %(key)s, %(body_hash)s,"
    f" %(order)s, %(expires)s::timestamptz where {_CATALOGUE} = %(catalogue)s"
    " and not exists (select from websites where domain = any(%(hosts)s)"
    f" and status in ({HOLDING}))"
    " on conflict (tenant_id, key) do update set"
    " created_at = excluded.created_at, body_hash = excluded.body_hash,"
    " order_id = excluded.order_id, expires_at = excluded.expires_at"
    " where order_keys.expires_at <= %(now)s returning order_id"
)
# The Stripe customer that we knew first is kept.
_BUYER: Final = (
    "insert into customers (id, created_at, tenant_id, email, name, phone, address,"
    " status, stripe_customer_id) select %(customer)s, %(now)s, %(tenant)s, %(email)s,"
    " '', '', '{}', 'active', %(stripe)s from key on conflict (tenant_id, email)"
    " do update set stripe_customer_id ="
    " coalesce(customers.stripe_customer_id, excluded.stripe_customer_id)"
    " returning id as buyer_id"
)
_HOLD: Final = (
    "insert into order_repeats (id, created_at, tenant_id, first_order_id, request,"
    " status) select id, created_at, tenant_id, first_order_id, request, status"
    " from jsonb_populate_record(null::order_repeats, %(row)s::jsonb)"
)
_PLACED: Final = (
    "select o.customer_id, j.parent_id, i.product_id, i.subscription_id, i.job_id,"
    " j.kind from orders o join order_items i on i.order_id = o.id"
    " join jobs j on j.id = i.job_id where o.id = %(order)s order by i.position"
)


class _First(NamedTuple):
    """The order of whoever came first with a key, and the body that it had."""

    order_id: UUID
    body_hash: str


class _Shelf(NamedTuple):
    """Some products, and the catalogue's word for their being just so."""

    offers: tuple[Offer, ...]
    catalogue: str


# What the last orders found, by tenant and codes.
_shelves: Final[dict[tuple[UUID, tuple[str, ...]], _Shelf]] = {}
_MOST_SHELVES: Final = 1000

_ALIKE: Final = {"tenant_id": "%(tenant)s", "customer_id": "buyer_id"}


async def place(
    ask: Ask,
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
    `ask` works for the platform; each statement may commit by itself, as nothing is
    written but by one. Raises `Invalid`.
    """
    now, codes = utc_now(), tuple(dict.fromkeys(line.code for line in request.lines))
    asked = {
        "now": now,
        "tenant": tenant_id,
        "key": key.key if key else request.content_key,
        "email": request.email,
        "codes": list(codes),
    }
    # Believed at first: the statement that writes finds out if it is not so any more.
    shelf = _shelves.get((tenant_id, codes))
    for _ in range(_TRIES):
        if shelf is None:
            first, shelf = await _look(ask, asked)
            if first is not None:
                return await _repeat(ask, tenant_id, first, request, key)
        draft = Draft(
            tenant_id=tenant_id,
            email=request.email,
            platform_domain=platform_domain,
            accepted_payment=accepted_payment,
        )
        products = _products(shelf.offers, request)
        await draft.fill(ask, products, request)
        buyer_id = await _write(ask, asked, request, draft, shelf, lasts=key is None)
        if buyer_id is not None:
            _keep(shelf, tenant_id, codes)
            return draft.placed(buyer_id)
        shelf = None
    raise Unavailable("the same order comes too often at once; try again")


async def _look(ask: Ask, asked: Mapping[str, Any]) -> tuple[_First | None, _Shelf]:
    """Who came first with the key, and what there is to sell."""
    told = {name: asked[name] for name in ("now", "tenant", "key", "codes")}
    [(first, body_hash, found, catalogue)] = await ask(_LOOK, told)
    offers = tuple(Offer(UUID(one[0]), *one[1:]) for one in found or ())
    known = None if first is None else _First(first, body_hash)
    return known, _Shelf(offers, catalogue)


def _keep(shelf: _Shelf, tenant_id: UUID, codes: tuple[str, ...]) -> None:
    if len(_shelves) >= _MOST_SHELVES:
        _shelves.clear()
    _shelves[tenant_id, codes] = shelf


async def _write(
    ask: Ask,
    asked: Mapping[str, Any],
    request: OrderRequest,
    draft: Draft,
    shelf: _Shelf,
    *,
    lasts: bool,
) -> UUID | None:
    """Whose order it is; None, with nothing written, if somebody else has the key, or
    what it was made of is not so any more.

    The worker is told to start it when it is committed. `lasts`: for a day alone.
    """
    total, currency = draft.price()
    order = new_row(
        id=draft.order_id,
        source=request.source,
        total=total,
        currency=currency,
        stripe_customer_id=request.stripe_customer_id,
        stripe_payment_intent_id=request.stripe_payment_intent_id,
        stripe_checkout_session_id=request.stripe_checkout_session_id,
    )
    rows = draft.rows(order)
    values = {
        **asked,
        "catalogue": shelf.catalogue,
        "hosts": draft.hosts,
        "key_id": uuid4(),
        "body_hash": request.body_hash,
        "order": draft.order_id,
        "expires": asked["now"] + CONTENT_LASTS if lasts else None,
        "customer": uuid4(),
        "stripe": request.stripe_customer_id,
        "rows": as_rows(rows),
    }
    if draft.freed:
        values["freed"] = draft.freed
    found = await ask(_writing(tuple(rows), freed=bool(draft.freed)), values)
    return found[0][0] if found else None


@cache
def _writing(tables: tuple[type[Row], ...], *, freed: bool) -> str:
    """All of it, or without the key nothing: `buyer` has no row then."""
    parts = [f"key as ({_KEY})", f"buyer as ({_BUYER})"]
    if freed:
        parts.append(f"freed as ({FREED})")
    for table in tables:
        # A website has room for a new plan only when the old one has let it go.
        waits = freed and table is BackupPlan
        when = "buyer, (select count(*) from freed) done" if waits else "buyer"
        insert = inserting(table, when=when, alike=_ALIKE)
        parts.append(f"{table.__tablename__}_ as ({insert})")
    told = "select buyer_id, pg_notify('mpanel', 'start') from buyer"
    return f"with {', '.join(parts)} {told}"


async def _repeat(
    ask: Ask,
    tenant_id: UUID,
    first: _First,
    request: OrderRequest,
    key: RepeatKey | None,
) -> Placed:
    """The first result again; without a key the repeat is held, too."""
    if key and key.same_body and first.body_hash != request.body_hash:
        raise KeyReused
    if key is None:
        held = OrderRepeat(
            tenant_id=tenant_id,
            first_order_id=first.order_id,
            request=request.as_json(),
        )
        await ask(_HOLD, {"row": held.model_dump_json()})
    return await placed(ask, first.order_id)


async def placed(ask: Ask, order_id: UUID) -> Placed:
    """The first result of an order. Raises `NotFound`."""
    rows = await ask(_PLACED, {"order": order_id})
    if not rows:
        raise NotFound(f"there is no order {order_id}")
    customer_id, job_id = rows[0][:2]
    return Placed(
        order_id=order_id,
        job_id=job_id,
        customer_id=customer_id,
        lines=tuple(
            PlacedLine(product_id, subscription_id, task_id, JobKind(kind))
            for _, _, product_id, subscription_id, task_id, kind in rows
        ),
        repeated=True,
    )


def _products(found: Iterable[Offer], request: OrderRequest) -> Sequence[Offer]:
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
