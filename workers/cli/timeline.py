"""What `mpanel demo` shows once the stack is up."""

from collections.abc import Mapping
from typing import Any

import httpx
from rich.console import Console


def follow_one_order(dev: Mapping[str, Any], console: Console) -> bool:
    """Whether the API of this stack (the content of its dev.json) is well."""
    health = httpx.get(f"{dev['api']}/api/health", timeout=5)
    console.print(f"  API: {health.status_code}  {dev['api']}/docs")
    return health.status_code == 200
