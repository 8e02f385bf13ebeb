"""Calls to a Proxmox cluster's API, and what its refusals mean.

Through proxmoxer, which blocks and so runs in threads. Proxmox answers 500 for most
refusals, so the words of the answer decide what an error means: see `_meaning`.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from proxmoxer import AuthenticationError, ProxmoxAPI, ResourceException

from activities.errors import (
    ProviderDown,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
)
from activities.gate import Gate

PROVIDER: Final = "proxmox"

_AT_ONCE: Final = 16
_REST: Final = 5.0


class ProxmoxApi:
    """One cluster, as one API token may call it. Retries nothing."""

    def __init__(
        self,
        url: str,
        token_id: str,
        token_secret: str,
        *,
        ca_file: Path | None,
        gate: Gate,
        timeout: float = 30,
    ) -> None:
        at = urlsplit(url)
        self._host, self._port = at.hostname or "", at.port or 8006
        self._user, _, self._token = token_id.partition("!")
        self._secret = token_secret
        self._trusted: bool | str = str(ca_file) if ca_file else True
        self._gate, self._timeout = gate, timeout
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=PROVIDER)
        self._of_thread = threading.local()

    async def get(self, path: str, **query: Any) -> Any:
        """The `data` of the answer."""
        return await self.call("get", path, **query)

    async def task(self, method: str, path: str, **body: Any) -> str:
        """A change that runs on: the UPID of its task."""
        upid = await self.call(method, path, **body)
        if not isinstance(upid, str) or not upid.startswith("UPID:"):
            raise ProviderDown(PROVIDER, "the answer has no UPID", code="garbage")
        return upid

    async def call(self, method: str, path: str, **given: Any) -> Any:
        """The `data` of the answer; any failure is one of `activities.errors`."""
        if not self._host:
            raise ProviderRejected(
                PROVIDER,
                "no cluster is configured: set MPANEL_PROXMOX_URL",
                code="none",
            )
        await self._gate.enter()
        act = f"{method.upper()} {path}"

        def ask() -> Any:
            return getattr(self._session()(path), method)(**given)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except ResourceException as refused:
            error = _meaning(act, refused)
        except AuthenticationError as refused:
            error = ProviderRejected(PROVIDER, f"{act}: {refused}", code="http_401")
        except requests.exceptions.SSLError as refused:
            error = ProviderRejected(
                PROVIDER, f"its certificate is not trusted: {refused}", code="tls"
            )
        except requests.RequestException as lost:
            error = ProviderDown(
                PROVIDER, f"{act}: {type(lost).__name__}", code="network"
            )
        except ValueError:
            error = ProviderDown(PROVIDER, "the answer is not JSON", code="garbage")
        if isinstance(error, ProviderThrottled):
            await self._gate.throttled(error.retry_after)
        raise error

    def close(self) -> None:
        """Lets calls that are under way end by themselves."""
        self._threads.shutdown(wait=False)

    def _session(self) -> ProxmoxAPI:
        """One session a thread: requests' are not made to be shared."""
        if not hasattr(self._of_thread, "api"):
            self._of_thread.api = ProxmoxAPI(
                self._host,
                port=self._port,
                user=self._user,
                token_name=self._token,
                token_value=self._secret,
                verify_ssl=self._trusted,
                timeout=self._timeout,
            )
        return self._of_thread.api


# What Proxmox says in words, in the order in which they are looked for. The code of
# the first that is found; transient ones are worth another try.
_TRANSIENT: Final = (
    # Not that a guest is gone: nobody knows what goes on over there.
    ("no such cluster node", "no_node"),
    # By QEMU's own socket: an agent that hangs is no lock.
    ("command 'guest-", "agent"),
    ("can't lock file", "lock"),
    ("got timeout", "lock"),
    ("is locked", "lock"),
    ("no quorum", "quorum"),
    ("guest agent is not running", "agent"),
    ("no qemu guest agent configured", "agent"),
    ("not running", "not_running"),
    ("connection refused", "network"),
    ("no route to host", "network"),
)
_PERMANENT: Final = (
    ("already exists", "exists"),
    ("does not exist", "absent"),
    ("no such", "absent"),
    ("unable to parse worker upid", "absent"),
    ("unable to parse volume", "absent"),
    ("no space left", "disk_full"),
    ("shrink", "shrink"),
    ("not supported", "unsupported"),
    ("not implemented", "unsupported"),
    ("protection mode", "protected"),
)
# The same of a 400, whose words name a wrong parameter.
_WRONG: Final = (
    ("already exists", "exists"),
    ("no such task", "absent"),
    ("unable to parse worker upid", "absent"),
)


def _meaning(act: str, refused: ResourceException) -> ProviderError:
    """401/403 and 400 are no for good; but who comes second to make a group hears 400,
    and so does who asks for a task that its node has forgotten;
    595 and friends mean that the node is away; a 500 means what it says, and an unknown
    one is tried again."""
    status = int(refused.status_code)
    said = f"{refused.status_message} {refused.content}".strip()
    fields = getattr(refused, "errors", None)
    message = f"{act}: {status} {said}" + (f" {fields}" if fields else "")
    if status == 429:
        return ProviderThrottled(PROVIDER, message, retry_after=_REST)
    if status < 500:
        known = _WRONG if status == 400 else ()
        codes = (code for pattern, code in known if pattern in message)
        code = next(codes, f"http_{status}")
        return ProviderRejected(PROVIDER, message, code=code)
    words = said.lower()
    if status == 500:
        for pattern, code in _TRANSIENT:
            if pattern in words:
                return ProviderDown(PROVIDER, message, code=code)
        for pattern, code in _PERMANENT:
            if pattern in words:
                return ProviderRejected(PROVIDER, message, code=code)
    if status == 501:
        return ProviderRejected(PROVIDER, message, code="unsupported")
    return ProviderDown(PROVIDER, message, code=f"http_{status}")
