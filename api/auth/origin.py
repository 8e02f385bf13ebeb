"""From where a call comes, as far as the socket and trusted proxies tell."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

_LONGEST_AGENT = 120


@dataclass(frozen=True)
class Origin:
    """`user_agent` is what the program calls itself, shortened."""

    address: str
    user_agent: str

    @classmethod
    def of(cls, address: str, user_agent: str) -> "Origin":
        """Of what the program calls itself only what can be shown."""
        shown = "".join(one for one in user_agent if one.isprintable())
        return cls(address, shown[:_LONGEST_AGENT])

    @property
    def network(self) -> str:
        """What counts as one address."""
        return network_of(self.address)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The address; of IPv6 the /64 that one customer has to draw addresses from."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ip_network((known, 64), strict=False))
