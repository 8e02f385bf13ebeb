"""What an HTTP provider's bad answers mean, by the PowerDNS simulator's faults."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from simulators import powerdns
from simulators.faults import Script

from activities.errors import (
    ProviderBlocked,
    ProviderDown,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
)
from activities.providers.http import retry_after
from activities.providers.powerdns import PowerDns
from models.redaction import keep_out


class RecordingGate:
    """Closes when told so, and remembers for how long."""

    def __init__(self) -> None:
        self.rests: list[float] = []

    async def enter(self) -> None:
        if self.rests:
            raise ProviderBlocked("powerdns", "resting", retry_after=self.rests[-1])

    async def throttled(self, retry_after: float) -> None:
        self.rests.append(retry_after)


@pytest.fixture
def gate() -> RecordingGate:
    return RecordingGate()


@pytest.fixture(scope="session")
async def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[powerdns.PowerDns]:
    settings = {"port": 0, "dns_port": 0, "api_key": "key-of-the-account"}
    sim = powerdns.build(settings, tmp_path_factory.mktemp("http"))
    await sim.start()
    yield sim
    await sim.stop()


@pytest.fixture
def sim(running: powerdns.PowerDns) -> powerdns.PowerDns:
    running.reset()
    return running


@pytest.fixture
async def client(
    sim: powerdns.PowerDns, gate: RecordingGate
) -> AsyncIterator[PowerDns]:
    client = PowerDns(sim.url, "key-of-the-account", gate=gate, timeout=60)
    yield client
    await client.aclose()


@pytest.fixture
async def hasty(sim: powerdns.PowerDns, gate: RecordingGate) -> AsyncIterator[PowerDns]:
    """A client for answers that are meant to come too late."""
    client = PowerDns(sim.url, "key-of-the-account", gate=gate, timeout=3)
    yield client
    await client.aclose()


@pytest.mark.parametrize(
    ("script", "error", "code", "effects"),
    [
        (Script("reject"), ProviderRejected, "http_400", 0),
        (Script("reject", status=403), ProviderRejected, "http_403", 0),
        (Script("fail"), ProviderDown, "http_500", 0),
        (Script("fail", status=503), ProviderDown, "http_503", 0),
        (Script("fail", status=408), ProviderDown, "http_408", 0),
        (Script("slow", seconds=9), ProviderDown, "network", 0),
        (Script("kill_before", victim="nobody"), ProviderDown, "network", 0),
        (Script("execute_then_timeout", seconds=9), ProviderDown, "network", 1),
        (Script("execute_then_kill", victim="nobody"), ProviderDown, "network", 1),
        (Script("execute_then_fail"), ProviderDown, "http_500", 1),
    ],
    ids=lambda v: f"{v.kind} {v.status or ''}".strip() if isinstance(v, Script) else "",
)
async def test_an_error_says_whether_to_try_again(
    client: PowerDns,
    hasty: PowerDns,
    sim: powerdns.PowerDns,
    script: Script,
    error: type[ProviderError],
    code: str,
    effects: int,
) -> None:
    sim.store.set_faults([script])

    with pytest.raises(error) as failure:
        await (hasty if script.seconds else client).create_zone(
            "a.test", nameservers=["ns1.test"]
        )
    await client.create_zone("a.test", nameservers=["ns1.test"])

    assert failure.value.code == code
    assert "key-of-the-account" not in str(failure.value)
    assert len(sim.store.effects()) == 1
    assert len([e for e in sim.store.effects() if e["call"] == 1]) == effects


async def test_an_unreadable_answer_says_nothing_about_the_outcome(
    client: PowerDns, sim: powerdns.PowerDns
) -> None:
    await client.create_zone("a.test", nameservers=["ns1.test"])
    sim.store.set_faults([Script("garbage", op="GET *")])

    with pytest.raises(ProviderDown) as failure:
        await client.zone("a.test")

    assert failure.value.code == "garbage"


@pytest.mark.parametrize("status", [429, 503])
async def test_told_to_wait_the_gate_closes_and_no_call_is_made(
    client: PowerDns, sim: powerdns.PowerDns, gate: RecordingGate, status: int
) -> None:
    sim.store.set_faults([Script("throttle", status=status, retry_after=7)])

    with pytest.raises(ProviderThrottled) as told:
        await client.zone("a.test")
    with pytest.raises(ProviderBlocked):
        await client.zone("a.test")

    assert told.value.retry_after == 7
    assert gate.rests == [7]
    assert len(sim.store.calls()) == 1


async def test_a_secret_at_the_end_of_what_is_kept_is_not_told_in_part(
    client: PowerDns, sim: powerdns.PowerDns
) -> None:
    secret = "hunter2hunter2hunter2"
    keep_out([secret])
    for before in range(160, 200, 3):
        said = Script("reject", status=422, message=f"{'x' * before}{secret}")
        sim.store.set_faults([said])
        with pytest.raises(ProviderRejected) as refused:
            await client.zone("example.com")
        assert secret[:4] not in refused.value.message, before


def test_both_forms_of_retry_after_are_read() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    long_ago = "Wed, 21 Oct 2015 07:28:00 GMT"

    assert retry_after("120") == 120
    assert 500 < (retry_after(soon) or 0) <= 600
    assert retry_after(long_ago) == 0
    assert retry_after("soon") is None
    assert retry_after(None) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("9" * 400, 86_400),
        ("Wed, 21 Oct 9999 07:28:00 GMT", 86_400),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ("\N{SUPERSCRIPT TWO}", None),
        ("nan", None),
    ],
)
def test_no_retry_after_closes_an_account_for_longer_than_a_day(
    header: str, seconds: float | None
) -> None:
    assert retry_after(header) == seconds
