"""Settings that are missing, weak, readable by others, or spoken in the clear."""

import ipaddress
import os
import stat
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from models.vault import Vault
from workers.doctor.lines import Line, failure, ok, skipped, warning
from workers.doctor.settings import OF_THE_API, DoctorSettings, Given, setting

_SHORTEST = {"secret_key": 32, "order_webhook_secret": 16, "stripe_webhook_secret": 16}
_FEWEST_CHARACTERS = 8
_SHORTEST_PASSWORD = 12
_GUESSED_FIRST = ("changeme", "change-me", "default", "example", "password", "secret")
_DEBUG = ("MPANEL_DEBUG", "DEBUG", "FASTAPI_DEBUG", "PYTHONASYNCIODEBUG")
_CHOOSE = "Choose another one: `openssl rand -hex 32`"
_OFF = ("", "0", "false", "no", "off")


def present(given: Given) -> Iterator[Line]:
    """A line per setting that is missing or wrong; one if none is."""
    for name, complaint in given.absent.items():
        said, _, purpose = complaint.removeprefix(setting(name)).strip().partition(": ")
        if name in OF_THE_API and said == "is missing":
            yield skipped(
                setting(name),
                f"is missing here: {purpose}",
                "Look on the machine that runs `mpanel api`, too.",
            )
        else:
            told = f"{said}: {purpose}"
            yield failure(setting(name), told, "Set it in the environment.")
    if not given.absent:
        yield ok("environment", "every setting is there")


async def safe(given: Given) -> AsyncIterator[Line]:
    """Looks at what is there."""
    settings, absent = given.settings, given.absent
    for name, shortest in _SHORTEST.items():
        if name not in absent:
            yield _secret(name, getattr(settings, name).get_secret_value(), shortest)
    if "database_url" not in absent:
        yield _password(settings.database_url.get_secret_value())
    if "encryption_keys" not in absent:
        yield _encryption(settings)
    if "hosting_ssh_key_file" not in absent:
        yield _key_file(settings)
    if "public_url" not in absent:
        yield _public_url(settings.public_url)
        yield _second_factor(settings)
    for name, url in _spoken(given):
        if line := _in_the_clear(name, url):
            yield line
    yield _debug()


def _secret(name: str, value: str, shortest: int) -> Line:
    name, small = setting(name), value.lower()
    fault = ""
    if len(value) < shortest:
        fault = f"has {len(value)} characters, want {shortest} or more"
    elif len(set(value)) < _FEWEST_CHARACTERS:
        fault = "repeats a few characters"
    elif word := next((word for word in _GUESSED_FIRST if word in small), None):
        fault = f"looks like a default: it says “{word}”"
    if fault:
        return failure(name, fault, f"{_CHOOSE}.")
    return ok(name, "long and unlike a default")


def _password(url: str) -> Line:
    name, at = setting("database_url"), urlsplit(url)
    password, role = at.password or "", at.username or "role"
    if len(password) >= _SHORTEST_PASSWORD and password != role:
        return ok(name, "its password is long")
    # A socket or a certificate may stand for the password there.
    line = warning if not password or _here(at.hostname or "") else failure
    return line(
        name,
        f"its password has {len(password)} characters",
        f"`openssl rand -hex 24`, then `\\password {role}` in psql and in the setting.",
    )


def _second_factor(settings: DoctorSettings) -> Line:
    name = setting("second_factor")
    if settings.second_factor in _OFF and settings.public_url.startswith("https:"):
        return warning(
            name,
            "operators log in with a password alone",
            f"`unset {name}`: an authenticator app is then demanded of them.",
        )
    return ok(name, settings.second_factor)


def _encryption(settings: DoctorSettings) -> Line:
    name = setting("encryption_keys")
    text = settings.encryption_keys.get_secret_value()
    advice = (
        "Append a new key, newest last: v2:$(openssl rand -base64 32). Keep the old"
        " ones as long as anything is sealed with them."
    )
    try:
        vault = Vault.parse(text)
    except ValueError:
        return failure(name, "want <version>:<base64 of 32 bytes>, ...", advice)
    if vault.guessable:
        return failure(name, "the newest key is not random", advice)
    return ok(name, f"new secrets are sealed with {vault.newest}")


def _key_file(settings: DoctorSettings) -> Line:
    name, path = setting("hosting_ssh_key_file"), settings.hosting_ssh_key_file
    try:
        found = path.stat()
    except OSError as error:
        return failure(
            name, f"{path}: {error.strerror}", "Put the private key there, mode 0600."
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        return failure(name, f"others may read it (mode {mode})", f"`chmod 600 {path}`")
    return ok(name, "only its owner may read it")


def _public_url(url: str) -> Line:
    name, parts = setting("public_url"), urlsplit(url)
    if parts.scheme == "https":
        return ok(name, "people come by https")
    if parts.scheme == "http" and _here(parts.hostname or ""):
        return ok(name, "http, and only on this machine")
    return failure(
        name,
        "tokens and passwords would travel in the clear",
        "Put a proxy with TLS before the API and say https://...",
    )


def _spoken(given: Given) -> Iterator[tuple[str, str]]:
    """Addresses at which we hand over a key."""
    settings = given.settings
    for name, url in (
        ("powerdns_url", settings.powerdns_url),
        ("stripe_api_base", settings.stripe_api_base),
        ("operator_webhook_url", settings.operator_webhook_url),
        ("smtp_url", settings.smtp_url.get_secret_value()),
    ):
        if url and name not in given.absent:
            yield name, url


def _in_the_clear(name: str, url: str) -> Line | None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "smtp") or _here(parts.hostname or ""):
        return None
    if parts.scheme == "smtp" and not parts.password:
        return None
    better = "smtp+starttls" if parts.scheme == "smtp" else "https"
    return warning(
        setting(name),
        f"the key travels to {parts.hostname} in the clear",
        f"Say {better}://... there, or keep it on one machine or inside a tunnel.",
    )


def _here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _debug() -> Line:
    for name in _DEBUG:
        if os.environ.get(name, "").lower() not in _OFF:
            return failure(
                "debug",
                f"{name} is set: errors may show what is inside",
                f"`unset {name}` for whatever serves customers.",
            )
    return ok("debug", "off")
