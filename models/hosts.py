"""Names of hosts, as they may stand in DNS."""

import re

from models.errors import Invalid

_HOST = re.compile(
    r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)


def host_name(text: str, *, field: str) -> str:
    """In lower case, without the dot at the end. Raises `Invalid` naming `field`."""
    name = text.strip().lower().removesuffix(".")
    if not _HOST.fullmatch(name):
        raise Invalid(field, "want a host name, like example.com")
    return name
