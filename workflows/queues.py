"""One task queue per provider: each has its own rate limit and its own outage."""

from typing import Final

STORIES: Final = "stories"  # workflows, and what they note in our own database
STRIPE: Final = "stripe"
HOSTING: Final = "hosting"
POWERDNS: Final = "powerdns"
BACKUPS: Final = "backups"
PROXMOX: Final = "proxmox"  # the cluster; each node has a queue of its own

PROVIDERS: Final = (STRIPE, HOSTING, POWERDNS, BACKUPS, PROXMOX)
ALL: Final = (STORIES, *PROVIDERS)

NODE: Final = "node-"


def node_queue(node: str) -> str:
    """Of one Proxmox node: clones that run side by side slow each other down."""
    return f"{NODE}{node}"
