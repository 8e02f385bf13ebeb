"""Mail by SMTP, to the catcher."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from simulators import mail
from simulators.faults import Script

from activities.errors import ProviderDown, ProviderRejected
from activities.gate import OpenGate
from activities.providers.smtp import Mailer


@pytest.fixture
async def catcher(tmp_path: Path) -> AsyncIterator[mail.Mail]:
    sim = mail.build({"port": 0, "smtp_port": 0}, tmp_path)
    await sim.start()
    yield sim
    await sim.stop()


def mailer(sim: mail.Mail, timeout: float = 60) -> Mailer:
    return Mailer(
        "127.0.0.1",
        sim.smtp_port,
        sender="MigraHosting <hello@migrahosting.test>",
        gate=OpenGate(),
        timeout=timeout,
    )


async def send(sim: mail.Mail, *, timeout: float = 60, **changed: Any) -> None:
    message = {
        "to": "anna@example.com",
        "subject": "Your website is ready \u2013 gr\u00fc\u00df dich",
        "text": "It is at https://shop.test\n",
        "html": "<p>It is <b>there</b></p>",
        "message_id": f"<{uuid4()}@mpanel.test>",
    }
    await mailer(sim, timeout).send(**(message | changed))


async def got(sim: mail.Mail, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(sim.url + path, headers=headers)


def effects(sim: mail.Mail) -> list[str]:
    return [effect["key"] for effect in sim.store.effects()]


async def test_a_mail_arrives_as_it_was_written(catcher: mail.Mail) -> None:
    await send(catcher, message_id="<1@mpanel.test>")

    found = (await got(catcher, "/messages?to=anna@example.com")).json()
    one = (await got(catcher, f"/messages/{found[0]['id']}")).json()

    assert len(found) == 1
    assert one["to"] == ["anna@example.com"]
    assert one["from"] == "hello@migrahosting.test"
    assert one["subject"] == "Your website is ready \u2013 gr\u00fc\u00df dich"
    assert one["text"] == "It is at https://shop.test\n"
    assert one["html"].strip() == "<p>It is <b>there</b></p>"
    assert effects(catcher) == ["<1@mpanel.test>"]
    assert (await got(catcher, "/messages?to=other@example.com")).json() == []


async def test_a_subject_longer_than_a_line_arrives_as_it_was_written(
    catcher: mail.Mail,
) -> None:
    """Such a header is folded, here right after its name (RFC 5322, 2.2.3)."""
    subject = f"[mpanel] 6 alerts: {', '.join(['3 x run_ended_outside'] * 3)}"
    await send(catcher, subject=subject)

    found = (await got(catcher, "/messages")).json()

    assert [one["subject"] for one in found] == [subject]


async def test_a_doubled_mail_is_seen_twice(catcher: mail.Mail) -> None:
    await send(catcher, message_id="<1@mpanel.test>")
    await send(catcher, message_id="<1@mpanel.test>")

    assert effects(catcher) == ["<1@mpanel.test>"] * 2


async def test_the_page_shows_mails_and_runs_nothing_of_them(
    catcher: mail.Mail,
) -> None:
    await send(catcher, subject="<script>alert(1)</script>", html="<script>x</script>")

    listed = (await got(catcher, "/")).text
    shown = (await got(catcher, "/messages/1", accept="text/html")).text

    assert "&lt;script&gt;alert(1)" in listed
    assert "<script" not in listed + shown
    assert "<iframe sandbox " in shown


async def test_a_message_that_is_not_there_is_not_found(catcher: mail.Mail) -> None:
    assert (await got(catcher, "/messages/99")).status_code == 404


@pytest.mark.parametrize(
    ("script", "error", "code", "kept"),
    [
        (Script("reject"), ProviderRejected, "smtp_550", 0),
        (Script("fail"), ProviderDown, "smtp_451", 0),
        (Script("throttle"), ProviderDown, "smtp_451", 0),
        (Script("garbage"), ProviderDown, "garbage", 1),
        (Script("execute_then_fail"), ProviderDown, "smtp_451", 1),
        (Script("execute_then_timeout", seconds=30), ProviderDown, "network", 1),
        (Script("execute_then_timeout", seconds=0), ProviderDown, "network", 1),
        (Script("slow", seconds=30), ProviderDown, "network", 0),
    ],
    ids=lambda value: value.kind if isinstance(value, Script) else "",
)
async def test_what_goes_wrong_says_whether_to_try_again(
    catcher: mail.Mail,
    script: Script,
    error: type[Exception],
    code: str,
    kept: int,
) -> None:
    catcher.store.set_faults([script])

    with pytest.raises(error) as failure:
        await send(catcher, timeout=3 if script.seconds else 60)

    assert getattr(failure.value, "code", None) == code
    assert len(effects(catcher)) == kept


@pytest.mark.parametrize(
    "to", ["nobody", "a@b\r\nBcc: all@example.com", "@", "", "a@b c"]
)
async def test_what_is_no_address_is_rejected_unsent(
    catcher: mail.Mail, to: str
) -> None:
    with pytest.raises(ProviderRejected) as refused:
        await send(catcher, to=to)

    assert refused.value.code == "bad_address"
    assert catcher.store.calls() == []


async def test_a_relay_that_is_not_there_is_down() -> None:
    nobody = Mailer("127.0.0.1", 9, sender="a@b.test", gate=OpenGate())

    with pytest.raises(ProviderDown):
        await nobody.send(to="a@b.test", subject="s", text="t", message_id="<1@x>")
