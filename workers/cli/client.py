"""An HTTP client of the API, as `mpanel login` made it: like kubectl, and no more.

Tokens lie in one file of mode 0600. A token that has run out is renewed; an act that
wants a fresh second factor asks for it at the terminal and is done again.
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx

from workers.dev.errors import StackError

_TIMEOUT: Final = 30.0


class CallFailed(StackError):
    """The API said no, or nothing. The message says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Login:
    """Where, as whom, and the tokens of it."""

    url: str
    email: str
    token: str
    refresh_token: str


def login_file() -> Path:
    """In the user's configuration folder, or where MPANEL_LOGIN_FILE says."""
    if given := os.environ.get("MPANEL_LOGIN_FILE"):
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "mpanel" / "login.json"


def _folder() -> Path:
    folder = login_file().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def keep(login: Login) -> None:
    """Replaces the file; nobody else may read it."""
    path = _folder() / login_file().name
    part = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(asdict(login), indent=2) + "\n")
    part.replace(path)


def kept() -> Login:
    """Raises `CallFailed` if nobody is logged in."""
    try:
        return Login(**json.loads(login_file().read_text()))
    except (OSError, ValueError, TypeError):
        raise CallFailed("Nobody is logged in. Begin with: mpanel login") from None


@contextmanager
def _alone() -> Iterator[None]:
    """Of all commands that share the file, one at a time."""
    folder = os.open(_folder(), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def forget() -> None:
    """Removes the file, if it is there."""
    with suppress(FileNotFoundError):
        login_file().unlink()


def ask_for_code() -> str:
    """Of the authenticator app. Raises `CallFailed` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise CallFailed(
            "A code of your authenticator app is wanted, and there is no terminal to"
            " ask for it. Run the command in a terminal.",
            code="STEP_UP_REQUIRED",
        )
    import typer

    return str(typer.prompt("Code of your authenticator app")).strip()


class Api:
    """Calls in the name of the login."""

    def __init__(self, login: Login, *, code: Callable[[], str] = ask_for_code) -> None:
        self._login, self._code = login, code
        self._http = httpx.Client(base_url=login.url, timeout=_TIMEOUT, trust_env=False)

    @property
    def url(self) -> str:
        """Of the API."""
        return self._login.url

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The answer's body."""
        given = {name: value for name, value in params.items() if value is not None}
        return self.call("GET", path, params=given)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's body."""
        return self.call("POST", path, json=body)

    def call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Renews the token and proves the second factor where that is wanted.

        Raises `CallFailed`.
        """
        answer = self._send(method, path, **content)
        if answer.status_code == 401:
            self._renew()
            answer = self._send(method, path, **content)
        if _code_of(answer) in ("STEP_UP_REQUIRED", "SECOND_FACTOR_REQUIRED"):
            told(self._send("POST", "/api/auth/step-up", json={"code": self._code()}))
            answer = self._send(method, path, **content)
        return told(answer)

    @contextmanager
    def stream(self, path: str, last_id: str = "") -> Iterator[httpx.Response]:
        """An open stream of server-sent events. Raises `CallFailed`."""
        self.get("/api/auth/me")  # a stream cannot be begun again by renewing
        headers = self._headers() | ({"Last-Event-ID": last_id} if last_id else {})
        # The API sends a line of comment every quarter of a minute.
        timeout = httpx.Timeout(_TIMEOUT, read=60)
        with (
            reached(self.url),
            self._http.stream("GET", path, headers=headers, timeout=timeout) as answer,
        ):
            if not answer.is_success:
                answer.read()
                told(answer)
            yield answer

    def log_out(self) -> None:
        """Ends the login at the API; one that is over already is over."""
        answer = self._send("POST", "/api/auth/logout")
        if answer.status_code == 401:
            with suppress(CallFailed):
                self._renew()
                self._send("POST", "/api/auth/logout")

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        with reached(self.url):
            return self._http.request(method, path, headers=self._headers(), **content)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._login.token}"}

    def _renew(self) -> None:
        """A refresh token works once, and twice ends the login: another command of
        the same login may have used ours, and kept the one that works now."""
        with _alone():
            last = kept()
            same = (last.url, last.email) == (self._login.url, self._login.email)
            login = last if same else self._login
            self._login = replace(login, **self._fresh(login.refresh_token))
            if same:
                keep(self._login)

    def _fresh(self, refresh_token: str) -> dict[str, str]:
        with reached(self.url):
            answer = self._http.post(
                "/api/auth/refresh", json={"refreshToken": refresh_token}
            )
        if answer.status_code == 401:
            raise CallFailed(
                "The login has ended. Log in again: mpanel login", code="UNAUTHORIZED"
            )
        given = told(answer)
        return {"token": given["token"], "refresh_token": given["refreshToken"]}


def connected() -> Api:
    """As whoever is logged in. Raises `CallFailed`."""
    return Api(kept())


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Words for an API that does not answer."""
    try:
        yield
    except httpx.TransportError as error:
        raise CallFailed(
            f"{url} does not answer ({type(error).__name__}).\nIs the API up? In"
            " development: mpanel dev. Another address: mpanel login --url ...",
            code="UNREACHABLE",
        ) from None


def told(answer: httpx.Response) -> dict[str, Any]:
    """The body, or `CallFailed` in the API's own words."""
    if answer.is_success:
        with suppress(ValueError):
            body = answer.json() if answer.content else {}
            if isinstance(body, dict):
                return body
        raise CallFailed(
            f"{answer.url} does not answer as mPanel does: it is another program's."
            " Another address: mpanel login --url ..."
        )
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", f"{answer.url} answers {answer.status_code}"
    if answer.status_code == 429:
        message += f" (come back in {answer.headers.get('Retry-After', 'some')} s)"
    message = f"{message[:1].upper()}{message[1:]}."
    if answer.status_code == 403 and code == "FORBIDDEN":
        message += " Log in as somebody with that role: mpanel login"
    raise CallFailed(message.replace("..", "."), code=code)


def _code_of(answer: httpx.Response) -> str:
    if answer.status_code != 403:
        return ""
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""
