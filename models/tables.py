"""Imports every table, for migrations."""

from sqlmodel import SQLModel

from models import (
    alerts,
    audit,
    backups,
    customers,
    effects,
    idempotency,
    inbox,
    jobs,
    orders,
    outbox,
    payments,
    products,
    servers,
    subscriptions,
    tenants,
    users,
    websites,
)

__all__ = [
    "alerts",
    "audit",
    "backups",
    "customers",
    "effects",
    "idempotency",
    "inbox",
    "jobs",
    "metadata",
    "orders",
    "outbox",
    "payments",
    "products",
    "servers",
    "subscriptions",
    "tenants",
    "users",
    "websites",
]

metadata = SQLModel.metadata
