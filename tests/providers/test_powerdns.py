"""Zones and records at PowerDNS: simulator and real server alike."""

from uuid import uuid4

import dns.asyncquery
import dns.message
import dns.rcode
import httpx
import pytest

from activities.errors import ProviderConflict, ProviderDown, ProviderRejected
from activities.gate import OpenGate
from activities.providers.powerdns import PowerDns, Record
from tests.providers.conftest import API_KEY, DnsTarget

NAMESERVERS = ["ns1.host.test", "ns2.host.test"]


@pytest.fixture
async def zone(pdns: PowerDns) -> str:
    name = f"z{uuid4().hex[:8]}.test"
    await pdns.create_zone(name, nameservers=NAMESERVERS)
    return name


async def asked(nameserver: DnsTarget, name: str, type: str) -> dns.message.Message:
    query = dns.message.make_query(name, type)
    return await dns.asyncquery.udp(
        query, "127.0.0.1", port=nameserver.dns_port, timeout=30
    )


async def foreign_record(server: DnsTarget, zone: str, name: str) -> None:
    rrset = {
        "name": f"{name}.",
        "type": "A",
        "ttl": 60,
        "changetype": "REPLACE",
        "records": [{"content": "203.0.113.9", "disabled": False}],
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.patch(
            f"{server.url}/api/v1/servers/localhost/zones/{zone}.",
            headers={"X-API-Key": API_KEY},
            json={"rrsets": [rrset]},
        )
    assert response.status_code == 204


async def test_a_zone_is_made_once_and_found(pdns: PowerDns, zone: str) -> None:
    await pdns.create_zone(zone, nameservers=["other.test"])

    found = await pdns.zone(zone)

    assert found is not None
    assert found.name == zone
    assert found.nameservers == tuple(NAMESERVERS)
    assert found.serial > 2026_00_00_00


async def test_an_unknown_zone_is_none(pdns: PowerDns) -> None:
    assert await pdns.zone("never-made.test") is None
    assert await pdns.record("never-made.test", "www.never-made.test", "A") is None


async def test_a_record_is_put_found_and_answered_by_dns(
    pdns: PowerDns, nameserver: DnsTarget, zone: str
) -> None:
    await pdns.put_record(
        zone, f"www.{zone}", "A", ("192.0.2.1", "192.0.2.2"), reference="site:1"
    )

    found = await pdns.record(zone, f"www.{zone}", "A")
    answer = await asked(nameserver, f"www.{zone}", "A")

    assert found is not None
    assert set(found.contents) == {"192.0.2.1", "192.0.2.2"}
    assert found.reference == "site:1"
    assert {item.to_text() for item in answer.answer[0]} == set(found.contents)
    assert answer.answer[0].ttl == 300


async def test_only_records_that_carry_our_mark_are_listed_as_ours(
    pdns: PowerDns, nameserver: DnsTarget, zone: str
) -> None:
    reference = f"site:{zone}"
    await pdns.put_record(zone, f"www.{zone}", "A", ("192.0.2.1",), reference=reference)
    await foreign_record(nameserver, zone, f"old.{zone}")

    ours = await pdns.ours()

    assert ours[reference] == f"www.{zone}"
    assert f"old.{zone}" not in ours.values()


async def test_putting_again_replaces_and_the_serial_grows_only_by_changes(
    pdns: PowerDns, zone: str
) -> None:
    name = f"www.{zone}"
    await pdns.put_record(zone, name, "A", ("192.0.2.1",), reference="site:1")
    before = await pdns.zone(zone)

    await pdns.put_record(zone, name, "A", ("192.0.2.7",), reference="site:1")

    after = await pdns.zone(zone)
    assert await pdns.record(zone, name, "A") == Record(("192.0.2.7",), "site:1")
    assert before is not None
    assert after is not None
    assert after.serial > before.serial


async def test_a_text_record_keeps_its_quotes(
    pdns: PowerDns, nameserver: DnsTarget, zone: str
) -> None:
    await pdns.put_record(zone, zone, "TXT", ('"v=spf1 -all"',), reference="mail:1")

    answer = await asked(nameserver, zone, "TXT")

    assert answer.answer[0][0].to_text() == '"v=spf1 -all"'


async def test_what_is_not_there_is_a_name_error_with_the_zones_soa(
    nameserver: DnsTarget, zone: str
) -> None:
    answer = await asked(nameserver, f"nothing.{zone}", "A")

    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert not answer.answer
    assert answer.authority[0].name.to_text() == f"{zone}."


async def test_a_name_outside_every_zone_is_refused(nameserver: DnsTarget) -> None:
    assert (await asked(nameserver, "example.org", "A")).rcode() == dns.rcode.REFUSED


async def test_an_alias_and_a_wildcard_are_followed(
    pdns: PowerDns, nameserver: DnsTarget, zone: str
) -> None:
    await pdns.put_record(zone, f"*.{zone}", "A", ("192.0.2.3",), reference="p")
    await pdns.put_record(
        zone, f"www.{zone}", "CNAME", (f"shop.{zone}.",), reference="p"
    )

    answer = await asked(nameserver, f"www.{zone}", "A")

    assert [rrset.to_text().split()[3:] for rrset in answer.answer] == [
        ["CNAME", f"shop.{zone}."],
        ["A", "192.0.2.3"],
    ]


async def test_a_foreign_record_is_neither_replaced_nor_deleted(
    pdns: PowerDns, nameserver: DnsTarget, zone: str
) -> None:
    name = f"www.{zone}"
    await foreign_record(nameserver, zone, name)

    with pytest.raises(ProviderConflict) as conflict:
        await pdns.put_record(zone, name, "A", ("192.0.2.1",), reference="site:1")
    await pdns.delete_record(zone, name, "A", reference="site:1")

    assert conflict.value.code == "record_exists"
    assert await pdns.record(zone, name, "A") == Record(("203.0.113.9",), None)


async def test_the_record_of_another_job_is_left_alone(
    pdns: PowerDns, zone: str
) -> None:
    name = f"www.{zone}"
    await pdns.put_record(zone, name, "A", ("192.0.2.1",), reference="site:1")

    with pytest.raises(ProviderConflict):
        await pdns.put_record(zone, name, "A", ("192.0.2.2",), reference="site:2")
    await pdns.delete_record(zone, name, "A", reference="site:2")

    assert await pdns.record(zone, name, "A") == Record(("192.0.2.1",), "site:1")


async def test_a_deleted_record_may_be_deleted_again_and_leaves_no_reference(
    pdns: PowerDns, nameserver: DnsTarget, zone: str
) -> None:
    name = f"www.{zone}"
    await pdns.put_record(zone, name, "A", ("192.0.2.1",), reference="site:1")

    await pdns.delete_record(zone, name, "A", reference="site:1")
    await pdns.delete_record(zone, name, "A", reference="site:1")

    assert await pdns.record(zone, name, "A") is None
    assert (await asked(nameserver, name, "A")).rcode() == dns.rcode.NXDOMAIN
    await foreign_record(nameserver, zone, name)
    assert await pdns.record(zone, name, "A") == Record(("203.0.113.9",), None)


async def test_a_zone_is_deleted_with_its_records_and_may_be_deleted_again(
    pdns: PowerDns, zone: str
) -> None:
    await pdns.put_record(zone, f"www.{zone}", "A", ("192.0.2.1",), reference="s")

    await pdns.delete_zone(zone)
    await pdns.delete_zone(zone)

    assert await pdns.zone(zone) is None
    await pdns.create_zone(zone, nameservers=NAMESERVERS)
    assert await pdns.record(zone, f"www.{zone}", "A") is None


@pytest.mark.parametrize(
    ("name", "type", "content"),
    [
        ("www.{zone}", "A", "999.1.1.1"),
        ("www.other.test", "A", "192.0.2.1"),
        ("{zone}", "CNAME", "elsewhere.test."),
    ],
    ids=["bad content", "out of zone", "alias beside others"],
)
async def test_what_makes_no_sense_is_rejected(
    pdns: PowerDns, zone: str, name: str, type: str, content: str
) -> None:
    with pytest.raises(ProviderRejected) as refused:
        await pdns.put_record(
            zone, name.format(zone=zone), type, (content,), reference="site:1"
        )

    assert refused.value.code == "http_422"


async def test_a_record_in_no_zone_is_rejected(pdns: PowerDns) -> None:
    with pytest.raises(ProviderRejected) as refused:
        await pdns.put_record(
            "no.test", "www.no.test", "A", ("192.0.2.1",), reference="site:1"
        )

    assert refused.value.code == "no_zone"


async def test_a_wrong_key_is_rejected_and_never_told(nameserver: DnsTarget) -> None:
    client = PowerDns(nameserver.url, "wrong-key-4711", gate=OpenGate())

    with pytest.raises(ProviderRejected) as refused:
        await client.zone("any.test")

    await client.aclose()
    assert refused.value.code == "http_401"
    assert "wrong-key-4711" not in str(refused.value)


async def test_the_servers_words_for_errors_are_the_real_ones(
    nameserver: DnsTarget, zone: str
) -> None:
    headers = {"X-API-Key": API_KEY}
    async with httpx.AsyncClient(
        base_url=f"{nameserver.url}/api/v1/servers/localhost", trust_env=False
    ) as client:
        exists = await client.post(
            "/zones", json={"name": f"{zone}.", "kind": "Native"}, headers=headers
        )
        undotted = await client.post(
            "/zones", json={"name": "undotted.test", "kind": "Native"}, headers=headers
        )
        absent = await client.get("/zones/absent.test.", headers=headers)
        nobody = await client.get("/zones/absent.test.")

    assert (exists.status_code, exists.text) == (409, "Conflict")
    assert undotted.status_code == 422
    assert "is not canonical" in undotted.json()["error"]
    assert (absent.status_code, absent.text) == (404, "Not Found")
    assert (nobody.status_code, nobody.text) == (401, "Unauthorized")


async def test_nobody_there_is_down() -> None:
    client = PowerDns("http://127.0.0.1:9", API_KEY, gate=OpenGate())

    with pytest.raises(ProviderDown):
        await client.zone("any.test")

    await client.aclose()
