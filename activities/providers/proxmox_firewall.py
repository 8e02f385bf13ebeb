"""The firewall of a guest: what it lets in, and from which addresses it may send.

Both have effect only while the cluster's own firewall is on.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final
from urllib.parse import quote

from activities.errors import ProviderRejected
from activities.providers.proxmox_api import ProxmoxApi
from activities.providers.proxmox_rows import Place

_OPEN: Final = ("Ping", "SSH", "HTTP", "HTTPS")
_BEING_MADE: Final = "mPanel, being made"
# By its name, the set of what may be sent from the first network card.
_SENDERS: Final = "ipfilter-net0"
_GROUPS: Final = "cluster/firewall/groups"


async def is_on(api: ProxmoxApi) -> bool:
    """Whether the cluster heeds any guest's rules."""
    return bool(int((await api.get("cluster/firewall/options")).get("enable") or 0))


async def guard(
    api: ProxmoxApi, place: Place, group: str, addresses: Sequence[str]
) -> None:
    """Lets in what a security group says: ping, SSH and the web from everywhere. A
    group that is there keeps what operators made of it. Lets out what comes from the
    guest's own addresses: with another's it would take that one's traffic. All options
    are set, since a clone has those of its template."""
    await _make_group(api, group)
    await _bind(api, place, addresses)
    await api.call(
        "put",
        f"{place.path}/firewall/options",
        enable=1,
        policy_in="DROP",
        policy_out="ACCEPT",
        ipfilter=1,
        macfilter=1,
        radv=0,
    )
    rules = await api.get(f"{place.path}/firewall/rules")
    if not any(one["type"] == "group" and one["action"] == group for one in rules):
        await api.call(
            "post",
            f"{place.path}/firewall/rules",
            type="group",
            action=group,
            enable=1,
        )


async def _make_group(api: ProxmoxApi, group: str) -> None:
    """Its comment tells whether all of its rules are there: who makes it may die
    amid them, and a group of half the rules locks guests away."""
    told = {one["group"]: one.get("comment") for one in await api.get(_GROUPS)}
    if told.get(group, _BEING_MADE) != _BEING_MADE:
        return
    if group not in told:
        await _make(api, _GROUPS, group=group, comment=_BEING_MADE)
    there = {rule.get("macro") for rule in await api.get(f"{_GROUPS}/{group}")}
    for macro in _OPEN:
        if macro not in there:
            rule = {"type": "in", "action": "ACCEPT", "macro": macro, "enable": 1}
            await api.call("post", f"{_GROUPS}/{group}", **rule)
    await api.call("post", _GROUPS, group=group, rename=group, comment="mPanel")


async def _bind(api: ProxmoxApi, place: Place, addresses: Sequence[str]) -> None:
    """Adds before it takes away: a guest may be running."""
    sets = f"{place.path}/firewall/ipset"
    if not any(one["name"] == _SENDERS for one in await api.get(sets)):
        await _make(api, sets, name=_SENDERS, comment="mPanel")
    own = {ip_network(address) for address in addresses}
    entries = await api.get(f"{sets}/{_SENDERS}")
    listed = {str(one["cidr"]): _network(str(one["cidr"])) for one in entries}
    for network in own - set(listed.values()):
        await _make(api, f"{sets}/{_SENDERS}", cidr=str(network.network_address))
    for cidr, theirs in listed.items():
        if theirs not in own:
            await api.call("delete", f"{sets}/{_SENDERS}/{quote(cidr, safe='')}")


def _network(cidr: str) -> IPv4Network | IPv6Network | None:
    """None: the name of an alias, or what else a person may have put there."""
    try:
        return ip_network(cidr, strict=False)
    except ValueError:
        return None


async def _make(api: ProxmoxApi, path: str, **what: str) -> None:
    """Somebody else may have come first."""
    try:
        await api.call("post", path, **what)
    except ProviderRejected as refused:
        if refused.code != "exists":
            raise
