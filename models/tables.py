"""Imports every table, for migrations."""

from sqlmodel import SQLModel

from models import (
    alert_rules,
    alerts,
    attempts,
    audit,
    backups,
    calls,
    customers,
    effects,
    idempotency,
    inbox,
    jobs,
    orders,
    outbox,
    payments,
    processes,
    products,
    second_factors,
    servers,
    sessions,
    subscriptions,
    tenants,
    users,
    websites,
)

__all__ = [
    "alert_rules",
    "alerts",
    "attempts",
    "audit",
    "backups",
    "calls",
    "customers",
    "effects",
    "idempotency",
    "inbox",
    "jobs",
    "metadata",
    "orders",
    "outbox",
    "payments",
    "processes",
    "products",
    "second_factors",
    "servers",
    "sessions",
    "subscriptions",
    "tenants",
    "users",
    "websites",
]

metadata = SQLModel.metadata
