"""One task queue per provider: each has its own rate limit and its own outage."""

from typing import Final

STORIES: Final = "stories"  # workflows, and what they note in our own database
STRIPE: Final = "stripe"
HOSTING: Final = "hosting"
POWERDNS: Final = "powerdns"
BACKUPS: Final = "backups"

PROVIDERS: Final = (STRIPE, HOSTING, POWERDNS, BACKUPS)
ALL: Final = (STORIES, *PROVIDERS)
