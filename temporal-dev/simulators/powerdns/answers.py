"""DNS over UDP, out of the same zones that the API writes."""

import asyncio

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from simulators.powerdns.zones import Zones, parents

_LONGEST_CHAIN = 8


class DnsServer(asyncio.DatagramProtocol):
    """Authoritative on loopback; port 0 picks a free one."""

    def __init__(self, zones: Zones, port: int) -> None:
        self.port, self._zones = port, zones
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        self.port = self._transport.get_extra_info("sockname")[1]

    def stop(self) -> None:
        """Answers no more."""
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One query, one answer; what is no query gets none."""
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return
        if self._transport is not None and not query.flags & dns.flags.QR:
            self._transport.sendto(self._answer(query), addr)

    def _answer(self, query: dns.message.Message) -> bytes:
        answer = dns.message.make_response(query)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            answer.set_rcode(dns.rcode.NOTIMP)
            return answer.to_wire()
        question = query.question[0]
        name = question.name.to_text().lower()
        type = dns.rdatatype.to_text(question.rdtype)
        if self._zones.holding(name) is None:
            answer.set_rcode(dns.rcode.REFUSED)
            return answer.to_wire()
        answer.flags |= dns.flags.AA
        self._fill(answer, name, type)
        longest = 512 if query.edns < 0 else max(512, query.payload)
        try:
            return answer.to_wire(max_size=longest)
        except dns.exception.TooBig:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
            return answer.to_wire()

    def _fill(self, answer: dns.message.Message, name: str, type: str) -> None:
        for _ in range(_LONGEST_CHAIN):
            owner = self._owner(name)
            if owner and (found := self._rrset(owner, type, name)):
                answer.answer.append(found)
                return
            alias = self._rrset(owner, "CNAME", name) if owner else None
            if alias is None:
                if owner is None and not answer.answer:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                self._add_soa(answer, name)
                return
            answer.answer.append(alias)
            name = alias[0].to_text().lower()
            if self._zones.holding(name) is None:
                return

    def _owner(self, name: str) -> str | None:
        # The name whose records answer: itself, else the nearest wildcard (RFC 4592).
        zone = self._zones.holding(name)
        if zone is None:
            return None
        names = {rrset["name"] for rrset in self._zones.rrsets(zone)}
        if name in names or any(other.endswith("." + name) for other in names):
            return name
        for parent in parents(name):
            if f"*.{parent}" in names:
                return f"*.{parent}"
            if parent in names or parent == zone["name"]:
                return None
        return None

    def _rrset(self, owner: str, type: str, name: str) -> dns.rrset.RRset | None:
        rrset = self._zones.rrset(owner, type)
        if rrset is None:
            return None
        contents = [record["content"] for record in rrset["records"]]
        return dns.rrset.from_text(name, rrset["ttl"], "IN", type, *contents)

    def _add_soa(self, answer: dns.message.Message, name: str) -> None:
        zone = self._zones.holding(name)
        soa = zone and self._rrset(zone["name"], "SOA", zone["name"])
        if soa:
            answer.authority.append(soa)
