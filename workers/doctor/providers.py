"""Stripe, PowerDNS and the mail relay: reached, with rights that suffice."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from activities.errors import ProviderError
from activities.gate import OpenGate
from activities.providers.powerdns import ACCOUNT, PowerDns
from activities.providers.smtp import MailRefused, check_relay
from activities.providers.stripe_rights import StripeRights
from workers.doctor import advice, dns
from workers.doctor.lines import Line, clock, failure, ok, warning
from workers.doctor.settings import STAND_IN, DoctorSettings

_PATIENCE = 6.0
_WRITABLE = ("native", "master", "primary", "producer")


async def stripe(settings: DoctorSettings) -> AsyncIterator[Line]:
    """The key, its mode, and each right that we use."""
    key = settings.stripe_api_key.get_secret_value()
    async with aclosing(
        StripeRights(key, api_base=settings.stripe_api_base, timeout=_PATIENCE)
    ) as account:
        try:
            seen = await account.look()
        except ProviderError as error:
            yield advice.http(
                "reached",
                error,
                refused="Put a secret key of the account into MPANEL_STRIPE_API_KEY:"
                " Stripe's dashboard, Developers, API keys.",
                address="MPANEL_STRIPE_API_BASE",
            )
            return
    yield ok("reached", "our key is accepted")
    yield mode(settings)
    if seen.lacking:
        yield failure(
            "rights",
            f"the key lacks {', '.join(seen.lacking)}",
            "Give the restricted key these rights: Stripe's dashboard, Developers,"
            " API keys.",
        )
    else:
        yield ok("rights", "payments, invoices, events, checkout: read; refunds: write")
    if seen.date is not None:
        yield clock("Stripe", seen.date, seen.before, seen.after)


def mode(settings: DoctorSettings) -> Line:
    """Whether the key's money is as real as the address that people come to."""
    key = settings.stripe_api_key.get_secret_value()
    mode = key.split("_")[1] if key.count("_") > 1 else "unknown"
    public = urlsplit(settings.public_url).scheme == "https"
    if mode == "live" and settings.stripe_api_base:
        return warning(
            "mode",
            "a live key is sent to another address than Stripe's",
            "Take MPANEL_STRIPE_API_BASE away, unless that is a proxy of yours.",
        )
    if mode == "test" and public and not settings.stripe_api_base:
        return warning(
            "mode",
            "test mode behind a public address: nobody really pays",
            "Put the live key into MPANEL_STRIPE_API_KEY.",
        )
    return ok("mode", mode)


async def powerdns(settings: DoctorSettings) -> AsyncIterator[Line]:
    """The key, and the platform's zone."""
    names = PowerDns(
        settings.powerdns_url,
        settings.powerdns_api_key.get_secret_value(),
        gate=OpenGate(),
        timeout=_PATIENCE,
    )
    domain = settings.platform_domain
    async with aclosing(names):
        try:
            zone = await names.keeping(domain)
        except ProviderError as error:
            yield advice.http(
                "reached",
                error,
                refused="Put the server's `api-key` into MPANEL_POWERDNS_API_KEY.",
                address="MPANEL_POWERDNS_URL",
            )
            return
    yield ok("reached", "our key is accepted")
    if zone is None:
        yield ok("zone", f"{domain} is not there yet: the first order makes it")
    elif zone.kind.lower() not in _WRITABLE:
        yield failure(
            "zone",
            f"{domain} is a copy here ({zone.kind}): what we write would be lost",
            "Name the server that holds the original in MPANEL_POWERDNS_URL, or"
            f" `pdnsutil set-kind {domain} native`.",
        )
    elif zone.account not in ("", ACCOUNT):
        yield warning(
            "zone",
            f"{domain} belongs to the account {zone.account}",
            f"If it is ours: `pdnsutil set-account {domain} {ACCOUNT}`.",
        )
    else:
        yield ok("zone", f"{domain}, {zone.kind}, ours to write")
    if zone is not None and settings.powerdns_dns_address != STAND_IN:
        yield await _served(domain, settings.powerdns_dns_address)


async def _served(domain: str, address: str) -> Line:
    try:
        await dns.answers_for(domain, address, timeout=_PATIENCE / 2)
    except dns.Silent as silent:
        return failure(
            "name server",
            f"{address}: {silent}",
            "Let PowerDNS serve the zone there (UDP port 53 through the firewall), or"
            " correct MPANEL_POWERDNS_DNS_ADDRESS.",
        )
    return ok("name server", f"{address} answers for it")


async def mail(settings: DoctorSettings) -> AsyncIterator[Line]:
    """As far as it goes without a mail."""
    at = urlsplit(settings.smtp_url.get_secret_value())
    where = f"{at.hostname}:{at.port or 25}"
    try:
        await check_relay(
            at.hostname or "",
            at.port or 25,
            sender=parseaddr(settings.mail_from)[1],
            username=unquote(at.username) if at.username else None,
            password=unquote(at.password) if at.password else None,
            starttls=at.scheme == "smtp+starttls",
            timeout=_PATIENCE,
        )
    except MailRefused as refused:
        yield failure(refused.step, refused.message, _MAIL[refused.step].format(where))
        return
    how = "by STARTTLS" if at.scheme == "smtp+starttls" else "without TLS"
    who = ", logged in" if at.username else ""
    yield ok("reached", f"{where} {how}{who}")
    yield ok("sender", f"{parseaddr(settings.mail_from)[1]} is accepted")


_MAIL = {
    "reached": "Is the relay at {} up? Else correct MPANEL_SMTP_URL.",
    "TLS": "{} offers no STARTTLS that works: say smtp:// in MPANEL_SMTP_URL, or mend"
    " its certificate.",
    "login": "Correct user and password in MPANEL_SMTP_URL (percent-encoded) for {}.",
    "sender": "Let {} send as MPANEL_MAIL_FROM, or choose a sender that it accepts.",
}
