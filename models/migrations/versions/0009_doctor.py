"""What lists and the dashboard read, by index"""

from alembic import op

revision = "0009_doctor"
down_revision = "0004_edge"
branch_labels = None
depends_on = None

_INDEXES = {
    "jobs_newest": "jobs (created_at desc)",
    "failed_jobs": "jobs (ended_at, tenant_id) where status = 'failed'",
    "orders_newest": "orders (created_at desc)",
    "orders_of_tenant": "orders (tenant_id, created_at desc)",
    "orders_by_source": "orders (source, created_at desc)",
    "orders_by_intent": "orders (stripe_payment_intent_id)"
    " where stripe_payment_intent_id is not null",
    "orders_by_checkout": "orders (stripe_checkout_session_id)"
    " where stripe_checkout_session_id is not null",
    "refunds_by_stripe": "payment_refunds (stripe_refund_id)"
    " where stripe_refund_id is not null",
    "items_by_subscription": "order_items (subscription_id)",
    "customers_by_email": "customers (email text_pattern_ops)",
    "customers_newest": "customers (created_at desc)",
    "websites_by_domain": "websites (domain text_pattern_ops)",
    "websites_newest": "websites (created_at desc)",
    "subscriptions_newest": "subscriptions (created_at desc)",
}


def upgrade() -> None:
    for name, columns in _INDEXES.items():
        op.execute(f"create index {name} on {columns}")


def downgrade() -> None:
    for name in _INDEXES:
        op.execute(f"drop index {name}")
