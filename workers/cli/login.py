"""`mpanel login` and `mpanel logout`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_URL = "http://127.0.0.1:8000"


def login(
    url: Annotated[
        str | None,
        typer.Option(help="Where the API is. Default: where you were logged in last."),
    ] = None,
    email: Annotated[
        str | None, typer.Option(help="Your address; asked for if it is not given.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Of a development stack: logs in as its admin, asking nothing.",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Log in, for `mpanel inbox`. Asks for what is missing.

    The password is asked for, or read from standard input where there is no terminal;
    a code of your authenticator app is asked for when one is set up. The tokens are
    kept in your configuration folder, in a file that nobody else may read.

    **Examples**

        mpanel login --url https://panel.example.com
        mpanel login --data-dir .mpanel      as the admin of `mpanel dev`
        echo "$PASSWORD" | mpanel login --email ops@example.com
    """
    from workers.cli.client import Login, keep, login_file

    if data_dir is not None:
        url, email, password = _of_stack(data_dir)
    else:
        url = (url or _last_url()).rstrip("/")
        email = email or typer.prompt("E-mail address")
        password = _password()
    given = _log_in(url, email, password)
    keep(Login(url, email, given["token"], given["refreshToken"]))
    roles = ", ".join(given["user"]["roles"])
    typer.echo(f"Logged in at {url} as {email} ({roles}); kept in {login_file()}.")
    if given.get("limited"):
        typer.echo(
            "A second factor is demanded of you before you may do anything: set one up"
            f" at {url}/console.",
            err=True,
        )


def logout() -> None:
    """Log out.

    The tokens stop working at once, and are removed here.

    **Example**

        mpanel logout
    """
    from workers.cli.client import Api, CallFailed, forget, kept

    login = kept()
    try:
        Api(login).log_out()
    except CallFailed as failed:
        typer.echo(f"{failed}\nThe tokens are removed here all the same.", err=True)
    forget()
    typer.echo(f"Logged out of {login.url}.")


def _log_in(url: str, email: str, password: str) -> dict[str, Any]:
    import httpx

    from workers.cli.client import CallFailed, ask_for_code, reached, told

    body = {"email": email, "password": password}
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
        with reached(url):
            answer = http.post("/api/auth/login", json=body)
        try:
            return told(answer)
        except CallFailed as failed:
            if failed.code != "SECOND_FACTOR_REQUIRED":
                raise
        with reached(url):
            answer = http.post("/api/auth/login", json=body | {"code": ask_for_code()})
        return told(answer)


def _of_stack(data_dir: Path) -> tuple[str, str, str]:
    import json

    from workers.cli.client import CallFailed

    try:
        dev = json.loads((data_dir / "dev.json").read_text())
    except (OSError, ValueError):
        raise CallFailed(
            f"{data_dir} holds no running stack (no dev.json). Start one: mpanel dev"
            f" --data-dir {data_dir}"
        ) from None
    return dev["api"], dev["admin"]["email"], dev["admin"]["password"]


def _last_url() -> str:
    from workers.cli.client import CallFailed, kept

    try:
        return kept().url
    except CallFailed:
        return DEFAULT_URL


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True))
    return sys.stdin.readline().rstrip("\n")
