"""What to do about an error of a provider's, by its stable code."""

from collections.abc import Mapping
from typing import Final

from activities.errors import ProviderDown, ProviderError
from workers.doctor.lines import Line, failure

_SSH: Final = {
    "host_key": "Compare keys with `ssh-keyscan -p {port} {host}`. Only if the server"
    " was set up anew, put its key into {where}.",
    "key_refused": "Put the public half of MPANEL_HOSTING_SSH_KEY_FILE into"
    " ~{user}/.ssh/authorized_keys there.",
    "permission": "Give {user} the right to read and write there.",
    "not_found": "Make the folder that {where} names, for {user}.",
    "disk_full": "Make room on its disk.",
    "clpctl": "Install CloudPanel there, and let {user} run `clpctl`, unasked.",
    "network": "Is {host}:{port} up, and does the firewall let us in?"
    " Else correct the address.",
}
_OTHERWISE: Final = "Look into the log of {host}:{port}."


def ssh(name: str, error: ProviderError, facts: Mapping[str, object]) -> Line:
    """`facts`: host, port, user, and where its host key is written down."""
    advice = _SSH.get(error.code, _OTHERWISE).format_map(facts)
    return failure(name, error.message, advice)


def http(name: str, error: ProviderError, *, refused: str, address: str) -> Line:
    """`refused`: what to do about a refused key; `address`: the setting."""
    if isinstance(error, ProviderDown):
        return failure(name, error.message, f"Is it up? Else correct {address}.")
    if error.code in ("http_401", "http_403", "unauthorized"):
        return failure(name, "our key is refused", refused)
    return failure(name, error.message, f"Correct {address}.")
