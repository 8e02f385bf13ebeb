"""Stripe as its SDK sees it: API version 2026-10-28.endive, one account."""

from pathlib import Path
from typing import Any

from simulators.core import Simulator


def build(settings: dict[str, Any], data_dir: Path) -> Simulator:
    """Settings: port, api_key, and where webhooks go: webhook_url, webhook_secret."""
    from simulators.stripe.simulator import StripeSimulator

    return StripeSimulator(settings, data_dir)
